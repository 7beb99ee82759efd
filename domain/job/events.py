"""Everything that can have happened to a job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.allocation.seat import Outcome, Seat
from domain.event import Event
from domain.job.after import End
from domain.job.spec import JobSpec
from domain.scheduling.reason import WaitReason
from domain.values.ids import AllocationId, JobId, NodeId


class QueuedCause(StrEnum):
    """Why a job stands in the queue (again)."""

    SUBMITTED = "submitted"
    RELEASED = "released"
    RETRY = "retry"
    PREEMPTED = "preempted"
    DRAINED = "drained"  # moved away from a node that is drained or kept for others
    MIGRATED = "migrated"  # moved away from its nodes, as was asked for
    NODE_LOST = "node_lost"
    RESUMED = "resumed"
    REQUEUED = "requeued"
    UNBLOCKED = "unblocked"  # the jobs it comes after have ended


class CancelCause(StrEnum):
    """Why a job was cancelled."""

    ASKED = "asked"
    DEPENDENCY = "dependency"  # a job it comes after did not end as it had to


class StopCause(StrEnum):
    """Why a placed job was asked to stop."""

    CANCEL = "cancel"
    SUSPEND = "suspend"
    REQUEUE = "requeue"
    TIME_LIMIT = "time_limit"
    BUDGET = "budget"  # what was reserved of its budget is used up
    SEAT_ENDED = "seat_ended"  # one seat of the gang failed or was lost: the others must end
    PRIORITY = "priority"  # preempted for a job of higher priority
    DRAIN = "drain"  # preempted because its node is drained
    WINDOW = "window"  # preempted because its node is kept for others, or for maintenance
    MIGRATION = "migration"  # preempted because it is to run elsewhere


@dataclass(frozen=True)
class Submitted(Event, name="job.submitted.v1"):
    """`ended` are those of the jobs it comes after that had ended by then."""

    job: JobId
    spec: JobSpec
    submitted_by: str
    ended: tuple[End, ...] = ()


@dataclass(frozen=True)
class Reopened(Event, name="job.reopened.v1"):
    """Ended, and to run once more; says all of it again, since followers forget ended jobs."""

    job: JobId
    spec: JobSpec
    submitted_by: str
    priority: int
    attempt: int


@dataclass(frozen=True)
class Queued(Event, name="job.queued.v1"):
    """In the queue since `since` (microseconds): its place among equals of its priority."""

    cause: QueuedCause
    since: int
    priority: int
    name: str
    user: str


@dataclass(frozen=True)
class Held(Event, name="job.held.v1"):
    """Held by its user until released."""


@dataclass(frozen=True)
class Blocked(Event, name="job.blocked.v1"):
    """Not in the queue until the jobs it comes after have ended."""


@dataclass(frozen=True)
class WaitExplained(Event, name="job.wait_explained.v1"):
    """The dominant reason for the wait became this one."""

    reason: WaitReason


@dataclass(frozen=True)
class Placed(Event, name="job.placed.v1"):
    """Given its whole gang: `seats` name node and devices, one per replica.

    `stop_at` (microseconds) is when it is asked to end, where a budget has no more for it.
    """

    attempt: int
    allocation: AllocationId
    seats: tuple[Seat, ...]
    reason: str
    stop_at: int | None = None


@dataclass(frozen=True)
class Started(Event, name="job.started.v1"):
    """Every seat of the attempt runs; `at` is when the last began, by store time."""

    attempt: int
    at: int


@dataclass(frozen=True)
class PreemptionRequested(Event, name="job.preemption_requested.v1"):
    """Asked to save and leave by `deadline` (microseconds), for `preemptor` or what `cause` says.

    `cause` is `priority`, `drain`, `window` or `migration`; the job goes back to the queue by
    itself. `seats` are kept for the preemptor, told with one of its victims, or in a migration for
    the job itself.
    """

    attempt: int
    cause: StopCause
    preemptor: JobId | None
    deadline: int
    seats: tuple[Seat, ...] = ()


@dataclass(frozen=True)
class MigrationRequested(Event, name="job.migration_requested.v1"):
    """To run elsewhere than on the nodes it `leaves`, on `to` if one is named, once there is room.

    Nothing changes until then. It is over when the attempt is asked to end for whatever cause.
    """

    attempt: int
    leaves: tuple[NodeId, ...]
    to: NodeId | None = None


@dataclass(frozen=True)
class MigrationExplained(Event, name="job.migration_explained.v1"):
    """The dominant reason why there is no room elsewhere became this one; the job runs on."""

    attempt: int
    reason: WaitReason


@dataclass(frozen=True)
class MigrationWithdrawn(Event, name="job.migration_withdrawn.v1"):
    """The request is taken back: the job stays where it is."""

    attempt: int


@dataclass(frozen=True)
class StopRequested(Event, name="job.stop_requested.v1"):
    """Asked to end by `deadline` (microseconds)."""

    attempt: int
    cause: StopCause
    deadline: int


@dataclass(frozen=True)
class GraceExpired(Event, name="job.grace_expired.v1"):
    """Did not end by its deadline: it is killed."""

    attempt: int


@dataclass(frozen=True)
class AttemptEnded(Event, name="job.attempt_ended.v1"):
    """All seats of the attempt ended; `outcome` is that of the seat that decided it."""

    attempt: int
    outcome: Outcome
    exit_code: int | None
    detail: str


@dataclass(frozen=True)
class RetryScheduled(Event, name="job.retry_scheduled.v1"):
    """Failed for the `failures`th time; runs again from `due_at` (microseconds)."""

    failures: int
    due_at: int


@dataclass(frozen=True)
class Suspended(Event, name="job.suspended.v1"):
    """Out of the queue, its checkpoint kept, until resumed."""


@dataclass(frozen=True)
class PriorityChanged(Event, name="job.priority_changed.v1"):
    priority: int
    previous: int


@dataclass(frozen=True)
class Succeeded(Event, name="job.succeeded.v1"):
    attempt: int


@dataclass(frozen=True)
class Failed(Event, name="job.failed.v1"):
    attempt: int
    outcome: Outcome
    exit_code: int | None


@dataclass(frozen=True)
class Cancelled(Event, name="job.cancelled.v1"):
    """Ended without success; `dependency` is the job it was to come after, if that is why."""

    cause: CancelCause = CancelCause.ASKED
    dependency: JobId | None = None


@dataclass(frozen=True)
class TimedOut(Event, name="job.timed_out.v1"):
    attempt: int


JobEvent = (
    Submitted
    | Reopened
    | Queued
    | Held
    | Blocked
    | WaitExplained
    | Placed
    | Started
    | PreemptionRequested
    | MigrationRequested
    | MigrationExplained
    | MigrationWithdrawn
    | StopRequested
    | GraceExpired
    | AttemptEnded
    | RetryScheduled
    | Suspended
    | PriorityChanged
    | Succeeded
    | Failed
    | Cancelled
    | TimedOut
)
"""Any event on a job's stream."""


def is_preemption(event: Event) -> bool:
    """Whether a job was made to leave that was not to run elsewhere by request."""
    return isinstance(event, PreemptionRequested) and event.cause is not StopCause.MIGRATION
