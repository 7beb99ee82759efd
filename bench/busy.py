"""The log of a busy cell: jobs queue, are explained, run on nodes, save and end, interleaved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import psycopg

from domain.allocation import events as a
from domain.allocation.seat import Outcome, Seat
from domain.checkpoint.events import CheckpointCause, Committed, Manifest
from domain.event import Event, Meta, StreamId
from domain.job import events as e
from domain.job.spec import Checkpointing, JobSpec
from domain.node.events import Registered
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.events import Created
from domain.scheduling.reason import Constraint, Excluded, WaitCode, WaitReason
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId, ProjectId
from domain.values.quantity import GIB
from domain.values.resources import Resources
from domain.values.time import SECOND
from domain.values.topology import Device
from infra.codec import to_stored

NODES, GPUS = 64, 8
RUNNING = NODES * GPUS
WAITING = 5_000
"""How many jobs wait at a time, once the cell is busy."""
PER_JOB = 12
BEGAN = 1_750_000_000 * SECOND
PROJECTS = tuple(ProjectId(f"project-{n}") for n in range(20))
_EACH = Resources(cpu_milli=4000, memory_bytes=32 * GIB, gpu_milli=1000)
_WHOLE = Resources(cpu_milli=GPUS * 4000, memory_bytes=GPUS * 32 * GIB, gpu_milli=GPUS * 1000)
_REASON = WaitReason(
    WaitCode.INSUFFICIENT_GPU, NODES, 0, (Excluded(Constraint.GPU, NODES),), blocker=""
)
Item = tuple[str, Event, str | None, int]
"""Stream, event, project, time of recording."""
Row = tuple[str, int, str, bytes, int]
"""Stream, version, name, state, time of recording: what the table of the log holds."""


def events(count: int, waiting: int = WAITING) -> Iterator[Item]:
    """`count` events of one cell in log order; about twelve a job, a job each 0.1 s."""
    yield from islice(_all(waiting), count)


def rows(items: Iterable[Item]) -> Iterator[Row]:
    """The items as the log stores them."""
    versions = Counter[str]()
    for stream, event, project, at in items:
        versions[stream] += 1
        meta = Meta("scheduler", "event:1", "trace-1", project)
        stored = to_stored(StreamId(stream), versions[stream], event, meta, None)
        yield stream, versions[stream], stored.topic, stored.state, at


def fill(connection: psycopg.Connection[object], count: int, waiting: int = WAITING) -> None:
    """Write the log of `count` events into an empty cell; positions count from 1."""
    columns = "originator_id, originator_version, topic, state, recorded_at"
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY stored_events ({columns}) FROM STDIN (FORMAT binary)".encode()) as copy,
    ):
        copy.set_types(["text", "int8", "text", "bytea", "int8"])
        for row in rows(events(count, waiting)):
            copy.write_row(row)
    connection.execute("VACUUM ANALYZE stored_events")


def job_id(number: int) -> JobId:
    """The id of the job submitted as the `number`th, shaped as real ones are."""
    return JobId(f"job-{number:012d}{number * 2654435761 % 10**14:014d}")


def _all(waiting: int) -> Iterator[Item]:
    yield from _begin()
    number = 0
    while True:
        at = BEGAN + (number + 1) * SECOND // 10
        yield from _submit(number, at)
        if number >= waiting:
            yield from _start(number - waiting, at)
        if number >= waiting + RUNNING - 1:
            yield from _end(number - waiting - RUNNING + 1, at)
        number += 1


def _begin() -> Iterator[Item]:
    for project in PROJECTS:
        yield f"project/{project}", Created(project, "busy"), project, BEGAN
    prices = PriceList("EUR", 20_000, 3_000, 2_000_000, (GpuPrice("H100", 3_000_000),))
    yield "policy/cell", PricesSet(prices), None, BEGAN
    for n in range(NODES):
        devices = tuple(Device(DeviceId(f"GPU-{n:03d}-{d}"), "H100", 80 * GIB) for d in range(GPUS))
        name = NodeId(f"node-{n:03d}")
        offer = Registered(name, f"boot-{n}", _WHOLE, devices, ("docker", "sandbox"), "h100")
        yield f"node/{name}", offer, None, BEGAN


def _owner(number: int) -> tuple[ProjectId, str]:
    return PROJECTS[number % len(PROJECTS)], f"user-{number % 97}"


def _spec(number: int) -> JobSpec:
    project, _ = _owner(number)
    return JobSpec(
        name=f"train-{number}",
        project=project,
        command=("python", "train.py", "--config", f"runs/{number}.yaml"),
        image="registry.example.org/train:2026.11",
        resources=_EACH,
        gpu_types=("H100",),
        env=(("SEED", str(number)),),
        checkpointing=Checkpointing(enabled=True, interval_seconds=600),
    )


def _submit(number: int, at: int) -> Iterator[Item]:
    project, user = _owner(number)
    job, spec = job_id(number), _spec(number)
    stream = f"job/{job}"
    yield stream, e.Submitted(job, spec, user), project, at
    queued = e.Queued(e.QueuedCause.SUBMITTED, at, spec.priority, spec.name, user)
    yield stream, queued, project, at
    yield stream, e.WaitExplained(_REASON), project, at


def _place(number: int) -> tuple[AllocationId, tuple[Seat, ...], str]:
    """Its allocation, its seat and the session of its node; free again when it is asked for."""
    slot = number % RUNNING
    node, device = slot % NODES, slot // NODES
    seat = Seat(0, NodeId(f"node-{node:03d}"), (DeviceId(f"GPU-{node:03d}-{device}"),))
    return AllocationId(f"alloc-{number:026d}"), (seat,), f"boot-{node}"


def _start(number: int, at: int) -> Iterator[Item]:
    project, user = _owner(number)
    job, (allocation, seats, boot) = job_id(number), _place(number)
    stream, held = f"job/{job}", f"allocation/{allocation}"
    granted = a.Granted(allocation, job, 1, seats, (boot,), _EACH, "H100", user)
    yield held, granted, project, at
    yield stream, e.Placed(1, allocation, seats, "fits"), project, at
    yield held, a.SeatStarted(0, "docker"), project, at
    yield stream, e.Started(1, at), project, at


def _end(number: int, at: int) -> Iterator[Item]:
    project, _ = _owner(number)
    job, (allocation, seats, _) = job_id(number), _place(number)
    stream, held = f"job/{job}", f"allocation/{allocation}"
    manifest = Manifest(0, f"{number:064x}", 12, 3 * GIB, GIB)
    saved = Committed(job, 1, 1, CheckpointCause.INTERVAL, manifest)
    yield f"checkpoint/{job}", saved, project, at
    yield held, a.SeatEnded(0, Outcome.EXITED, 0, ""), project, at
    yield stream, e.AttemptEnded(1, Outcome.EXITED, 0, ""), project, at
    yield held, a.Released(allocation, job, project, seats, _EACH), project, at
    yield stream, e.Succeeded(1), project, at
