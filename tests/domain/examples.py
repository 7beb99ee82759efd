"""Example values for tests: one job, one gang, one node, and changes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.allocation.seat import Outcome, Seat
from domain.event import Event
from domain.job import events as e
from domain.job.events import QueuedCause, StopCause
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.node.events import Registered
from domain.scheduling.reason import WaitCode, WaitReason
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.topology import Device

NOW = 1_800_000_000_000_000
"""A time in microseconds."""
GIB = 2**30
JOB = JobId("job-1")
SPEC = JobSpec("train", ProjectId("ml"), ("python", "train.py"))
ALLOCATION = AllocationId("alloc-1-1")


def spec(**changes: Any) -> JobSpec:
    """The example job with changes."""
    return replace(SPEC, **changes)


def seats(count: int = 1) -> tuple[Seat, ...]:
    """A gang on as many nodes."""
    return tuple(Seat(rank, NodeId(f"node-{rank}")) for rank in range(count))


def offer(
    name: str = "node-0", *, gpus: int = 0, model: str = "A100", **changes: Any
) -> Registered:
    """A node with 8 CPUs, 32 GiB and some GPUs."""
    devices = tuple(Device(DeviceId(f"{name}-gpu{n}"), model, 80 * GIB) for n in range(gpus))
    offer = Registered(
        NodeId(name),
        "boot-1",
        Resources(8000, 32 * GIB, gpus * 1000),
        devices,
        ("docker", "sandbox"),
    )
    return replace(offer, **changes)


SUBMITTED = e.Submitted(JOB, SPEC, "ada")
HELD = e.Held()
QUEUED = e.Queued(QueuedCause.SUBMITTED, NOW, 0, "train", "ada")
PLACED = e.Placed(1, ALLOCATION, seats(), "best_fit")
STARTED = e.Started(1, NOW + 1)
PREEMPTED = e.PreemptionRequested(1, StopCause.PRIORITY, JobId("job-9"), NOW + 30)
REASON = WaitReason(WaitCode.NO_NODES)


def stopping(cause: StopCause) -> e.StopRequested:
    """The first attempt was asked to end."""
    return e.StopRequested(1, cause, NOW + 30)


def submitted(**changes: Any) -> e.Submitted:
    """The example job was submitted with changes."""
    return e.Submitted(JOB, spec(**changes), "ada")


IN_PHASE: dict[Phase, tuple[Event, ...]] = {
    Phase.QUEUED: (SUBMITTED, QUEUED),
    Phase.HELD: (SUBMITTED, HELD),
    Phase.STARTING: (SUBMITTED, QUEUED, PLACED),
    Phase.RUNNING: (SUBMITTED, QUEUED, PLACED, STARTED),
    Phase.PREEMPTING: (SUBMITTED, QUEUED, PLACED, STARTED, PREEMPTED),
    Phase.STOPPING: (SUBMITTED, QUEUED, PLACED, STARTED, stopping(StopCause.SUSPEND)),
    Phase.SUSPENDED: (SUBMITTED, QUEUED, e.Suspended()),
    Phase.SUCCEEDED: (SUBMITTED, QUEUED, PLACED, STARTED, e.Succeeded(1)),
    Phase.FAILED: (SUBMITTED, QUEUED, PLACED, STARTED, e.Failed(1, Outcome.EXITED, 1)),
    Phase.CANCELLED: (SUBMITTED, QUEUED, e.Cancelled()),
    Phase.TIMED_OUT: (
        SUBMITTED,
        QUEUED,
        PLACED,
        STARTED,
        stopping(StopCause.TIME_LIMIT),
        e.TimedOut(1),
    ),
}
"""A history that leads to each phase a job can rest in."""
