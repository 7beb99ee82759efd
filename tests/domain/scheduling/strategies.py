"""Random cells: nodes of every kind and fate, jobs waiting, running and leaving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from domain.allocation.seat import Seat
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.node.events import Registered
from domain.project.events import Quota
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, JobId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.topology import Device
from tests.domain.examples import GIB
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.ledger import Ledger

MODELS = ("A100", "H100")
PROJECTS = ("ml", "bio")
RUNNERS = [("docker", "sandbox")] * 4 + [("docker",), ("sandbox",)]
Draw = Callable[[st.SearchStrategy[int]], int]


def offer(name: str, cpus: int, gib: int, gpus: list[str], runners: tuple[str, ...]) -> Registered:
    """What a node of this size offers."""
    devices = tuple(
        Device(DeviceId(f"{name}-gpu{n}"), model, 80 * GIB) for n, model in enumerate(gpus)
    )
    capacity = Resources(cpus * 1000, gib * GIB, len(gpus) * 1000)
    return Registered(NodeId(name), "boot-1", capacity, devices, runners)


def offers(name: str) -> st.SearchStrategy[Registered]:
    """Nodes of a few CPUs, a few GiB and up to four GPUs, sometimes of two models."""
    gpus = st.one_of(
        st.builds(lambda model, n: [model] * n, st.sampled_from(MODELS), st.integers(0, 4)),
        st.lists(st.sampled_from(MODELS), max_size=4),
    )
    return st.builds(
        offer,
        st.just(name),
        st.integers(2, 8),
        st.integers(2, 8),
        gpus,
        st.sampled_from(RUNNERS),
    )


def _spec(
    cpus: int, gib: int, gpus: int, types: tuple[str, ...], image: bool, **more: int
) -> JobSpec:
    return JobSpec(
        "train",
        ProjectId(PROJECTS[more["project"]]),
        ("true",),
        image="image" if image else None,
        resources=Resources(cpus * 1000, gib * GIB, gpus * 1000),
        gpu_types=types if gpus else (),
        replicas=more["replicas"],
        priority=more["priority"],
    )


SPECS = st.builds(
    _spec,
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0, 0, 1, 1, 2, 3]),
    st.sampled_from([(), (), ("A100",), ("H100", "A100")]),
    st.sampled_from([False, False, True]),
    project=st.integers(0, 1),
    replicas=st.sampled_from([1, 1, 1, 2, 3]),
    priority=st.integers(0, 3),
)
QUOTAS = st.builds(
    lambda gpus, cpus: Quota(
        None if gpus is None else gpus * 1000, None if cpus is None else cpus * 1000
    ),
    st.sampled_from([None] * 5 + [0, 2, 4, 8]),
    st.sampled_from([None] * 5 + [2, 6, 10]),
)
NODE_FATES = st.sampled_from(["up"] * 8 + ["cordoned", "draining", "lost", "shrunk"])
JOB_FATES = st.sampled_from(
    ["queued"] * 5 + ["starting"] + ["running"] * 3 + ["leaving", "cancelled"]
)


@st.composite
def cells(draw: st.DrawFn, *, quotas: bool = True, fresh: bool = False) -> Cell:
    """A cell with a history; `fresh` ones have no job that was asked to leave.

    Every other cell is crowded: small jobs of little importance run wherever they fit.
    """
    cell = Cell()
    names = [f"n{n}" for n in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 2, 3, 3, 4])))]
    for name in names:
        cell.offer(draw(offers(name)))
    if draw(st.booleans()):
        _crowd(draw, cell)
    leaving = []
    for number in range(draw(st.integers(1, 8))):
        fate = draw(JOB_FATES)
        job = cell.submit(f"job-{number}", draw(SPECS))
        if fate == "queued" or not _seat_somewhere(draw, cell, job):
            continue
        if fate != "starting":
            cell.start(job)
        if fate in ("leaving", "cancelled"):
            leaving.append((job, fate))
    if not fresh:
        for job, fate in leaving:
            _leave(draw, cell, job, fate)
    for name in names:
        _meet_fate(draw, cell, name)
    cell.conclude()
    if quotas:
        for project in PROJECTS:
            cell.set_quota(project, draw(QUOTAS))
    return cell


def _crowd(draw: st.DrawFn, cell: Cell) -> None:
    for number in range(draw(st.integers(3, 10))):
        spec = draw(SPECS)
        small = replace(spec, replicas=min(2, spec.replicas), priority=spec.priority // 2)
        job = cell.submit(f"small-{number}", small)
        if _seat_somewhere(draw, cell, job):
            cell.start(job)
        else:
            cell.cancel(job)


def _seat_somewhere(draw: Draw, cell: Cell, job: JobId) -> bool:
    """Place the job on any nodes it fits on, not the best; whether it did."""
    spec = cell.job(job).spec
    ledger = Ledger(cell.snapshot)
    for model in sorted(ledger.models(spec)):
        if sum(a.seats(spec, model) for a in ledger.accounts.values()) >= spec.replicas:
            break
    else:
        return False
    seats: list[Seat] = []
    for rank in range(spec.replicas):
        fitting = [a for a in ledger.accounts.values() if a.seats(spec, model)]
        account = fitting[draw(st.integers(0, len(fitting) - 1))]
        of_model = [device for device, m in account.devices.items() if m == model]
        devices = tuple(of_model[: spec.resources.gpus])
        seats.append(Seat(rank, account.node.id, devices))
        account.take(seats[-1], spec.resources)
    cell.grant(job, tuple(seats), model)
    return True


def _leave(draw: Draw, cell: Cell, job: JobId, fate: str) -> None:
    """The job was preempted for a waiting one; perhaps it was cancelled meanwhile."""
    priority = cell.job(job).priority
    ahead = [j for j in cell.in_phase(Phase.QUEUED) if cell.job(j).priority > priority]
    if ahead:
        cell.preempt(job, ahead[draw(st.integers(0, len(ahead) - 1))])
        if fate == "cancelled":
            cell.cancel(job)


def _meet_fate(draw: st.DrawFn, cell: Cell, name: str) -> None:
    match draw(NODE_FATES):
        case "cordoned":
            cell.cordon(name)
        case "draining":
            cell.cordon(name, drain=True)
        case "lost":
            cell.lose(name)
        case "shrunk":
            smaller = draw(offers(name))
            cell.offer(replace(smaller, boot="boot-1"))


def shuffled(snapshot: Snapshot, order: Callable[[list[Any]], None]) -> Snapshot:
    """The same snapshot with its tables filled in another order."""

    def table(known: dict) -> dict:  # type: ignore[type-arg]  # of any key and value
        items = list(known.items())
        order(items)
        return dict(items)

    return replace(
        snapshot,
        jobs=table(snapshot.jobs),
        allocations=table(snapshot.allocations),
        nodes=table(snapshot.nodes),
        quotas=table(snapshot.quotas),
        used=table(snapshot.used),
        lines=replace(snapshot.lines, by_key=table(snapshot.lines.by_key)),
    )
