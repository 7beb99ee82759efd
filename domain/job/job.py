"""The job aggregate: its state, how events change it, and the commands that make events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

from domain.allocation.seat import Outcome, Seat
from domain.errors import Conflict, Invalid
from domain.job import events as e
from domain.job.after import Condition, End
from domain.job.events import CancelCause, JobEvent, QueuedCause, StopCause
from domain.job.spec import JobSpec, Retry
from domain.job.transitions import ENDED, PLACED, TRANSITIONS, WAITING, Phase
from domain.scheduling.reason import WaitCode, WaitReason
from domain.values.checks import between
from domain.values.copies import replace
from domain.values.ids import AllocationId, JobId
from domain.values.priority import MAX_PRIORITY
from domain.values.time import SECOND


@dataclass(frozen=True)
class Job:
    """A job as its events left it. Times are microseconds since the epoch."""

    id: JobId
    spec: JobSpec
    submitted_by: str
    phase: Phase
    priority: int
    queued_since: int = 0
    attempt: int = 0
    failures: int = 0
    allocation: AllocationId | None = None
    seats: tuple[Seat, ...] = ()
    started_at: int | None = None
    due_at: int | None = None
    stop_cause: StopCause | None = None
    stop_deadline: int | None = None
    preemptor: JobId | None = None
    grace_expired: bool = False
    waiting: WaitReason | None = None
    stop_at: int | None = None

    @property
    def leaves_for_another(self) -> bool:
        """Whether it was preempted for a job; one that was cancelled since leaves all the same."""
        return self.preemptor is not None and self.phase in (Phase.PREEMPTING, Phase.STOPPING)


def evolve(job: Job | None, event: JobEvent) -> Job:
    """The job after the event. Never refuses: it already happened."""
    if isinstance(event, e.Submitted):
        return Job(
            event.job,
            event.spec,
            event.submitted_by,
            Phase.SUBMITTED,
            event.spec.priority,
        )
    if isinstance(event, e.Reopened):
        return Job(
            event.job,
            event.spec,
            event.submitted_by,
            Phase.SUBMITTED,
            event.priority,
            attempt=event.attempt,
        )
    assert job is not None, "a job's first event is job.submitted"
    phase = TRANSITIONS.get((job.phase, type(event)), job.phase)
    match event:  # what happens to every job comes first
        case e.Queued(since=since):
            return _unplaced(job, phase=phase, queued_since=since, due_at=None)
        case e.WaitExplained(reason=reason):
            return replace(job, waiting=reason)
        case e.Placed(attempt=attempt, allocation=allocation, seats=seats, stop_at=stop_at):
            return replace(
                job,
                phase=phase,
                attempt=attempt,
                allocation=allocation,
                seats=seats,
                waiting=None,
                stop_at=stop_at,
            )
        case e.Started(at=at):
            return replace(job, phase=phase, started_at=at)
        case e.AttemptEnded() | e.Held():
            return replace(job, phase=phase)
        case e.Succeeded() | e.Failed() | e.Suspended() | e.Cancelled() | e.TimedOut():
            return _unplaced(job, phase=phase, due_at=None)
        case e.PreemptionRequested(cause=cause, preemptor=preemptor, deadline=deadline):
            return replace(
                job,
                phase=phase,
                stop_cause=cause,
                preemptor=preemptor,
                stop_deadline=deadline,
            )
        case e.StopRequested(cause=stop, deadline=deadline):
            return replace(
                job,
                phase=phase,
                stop_cause=stop,  # `preemptor` stays: a victim that is cancelled leaves for it too
                stop_deadline=deadline,
            )
        case e.GraceExpired():
            return replace(job, grace_expired=True)
        case e.RetryScheduled(failures=failures, due_at=due_at):
            return _unplaced(job, phase=phase, failures=failures, due_at=due_at)
        case e.PriorityChanged(priority=priority):
            return replace(job, priority=priority)
        case e.Blocked():
            names = ", ".join(dependency.job for dependency in job.spec.after)
            return replace(job, phase=phase, waiting=WaitReason(WaitCode.DEPENDENCY, blocker=names))
        case _:
            assert_never(event)


_UNPLACED: dict[str, Any] = {
    "allocation": None,
    "seats": (),
    "started_at": None,
    "stop_cause": None,
    "stop_deadline": None,
    "preemptor": None,
    "grace_expired": False,
    "waiting": None,
    "stop_at": None,
}


def _unplaced(job: Job, **changes: Any) -> Job:
    return replace(job, **_UNPLACED, **changes)


def _queued(job: Job, cause: QueuedCause, since: int) -> e.Queued:
    return e.Queued(cause, since, job.priority, job.spec.name, job.submitted_by)


def _require(job: Job, phases: frozenset[Phase], command: str) -> None:
    if job.phase not in phases:
        raise Conflict(
            "wrong_phase",
            f"the job is {job.phase}; {command} needs one of: {', '.join(sorted(phases))}",
            phase=job.phase,
        )


def _require_attempt(job: Job, attempt: int) -> None:
    if job.phase not in PLACED or job.attempt != attempt:
        raise Conflict("stale_attempt", f"attempt {attempt} is not live", attempt=job.attempt)


def submit(
    job: JobId, spec: JobSpec, submitted_by: str, now: int, ended: tuple[End, ...] = ()
) -> list[JobEvent]:
    """Accept a new job: held if its spec says so, blocked if it comes after others, else queued.

    `ended` are those of the others that ended before. Invalid if one of them did not succeed and
    had to.
    """
    failed = {end.job for end in ended if not end.succeeded}
    for number, dependency in enumerate(spec.after):
        if dependency.on is Condition.OK and dependency.job in failed:
            field = f"after.{number}.job"
            detail = f"{field}: {dependency.job} ended without success; name another, or on: any"
            raise Invalid("dependency_failed", detail, field=field)
    submitted = e.Submitted(job, spec, submitted_by, ended)
    if spec.hold:
        return [submitted, e.Held()]
    return [submitted, _entry(evolve(None, submitted), QueuedCause.SUBMITTED, now)]


def _entry(job: Job, cause: QueuedCause, now: int) -> JobEvent:
    """Into the queue, or blocked until the jobs it comes after have ended."""
    awaits = bool(job.spec.after) and job.queued_since == 0  # once it was in the queue, they had
    return e.Blocked() if awaits else _queued(job, cause, now)


def unblock(job: Job, now: int) -> list[JobEvent]:
    """The jobs it comes after have ended: into the queue."""
    _require(job, frozenset({Phase.BLOCKED}), "unblock")
    return [_queued(job, QueuedCause.UNBLOCKED, now)]


def give_up(job: Job, dependency: JobId) -> list[JobEvent]:
    """The job it comes after did not end as it had to: it can never start."""
    _require(job, frozenset({Phase.BLOCKED}), "give up")
    return [e.Cancelled(CancelCause.DEPENDENCY, dependency)]


def explain_wait(job: Job, reason: WaitReason) -> list[JobEvent]:
    """Record why the job waits, unless it was last told a reason of the same kind."""
    _require(job, frozenset({Phase.QUEUED}), "explain")
    known = job.waiting is not None and job.waiting.kind == reason.kind
    return [] if known else [e.WaitExplained(reason)]


def place(
    job: Job,
    allocation: AllocationId,
    seats: tuple[Seat, ...],
    reason: str,
    stop_at: int | None = None,
) -> list[JobEvent]:
    """Give the job its whole gang, or nothing; until `stop_at` (microseconds) at most."""
    _require(job, frozenset({Phase.QUEUED}), "place")
    least = job.spec.replicas if job.spec.min_replicas is None else job.spec.min_replicas
    if not least <= len(seats) <= job.spec.replicas:
        raise Conflict("gang_incomplete", want=job.spec.replicas, got=len(seats))
    return [e.Placed(job.attempt + 1, allocation, seats, reason, stop_at)]


def start(job: Job, attempt: int, at: int) -> list[JobEvent]:
    """Every seat of the attempt runs."""
    _require_attempt(job, attempt)
    return [] if job.started_at is not None else [e.Started(attempt, at)]


def preempt(
    job: Job,
    cause: StopCause,
    preemptor: JobId | None,
    deadline: int,
    seats: tuple[Seat, ...] = (),
) -> list[JobEvent]:
    """Ask the job to save and leave by the deadline; it will be queued again.

    `seats` are kept for the preemptor, told with one of its victims.
    """
    _require(job, frozenset({Phase.STARTING, Phase.RUNNING}), "preempt")
    return [e.PreemptionRequested(job.attempt, cause, preemptor, deadline, seats)]


def stop(job: Job, cause: StopCause, deadline: int) -> list[JobEvent]:
    """Ask a placed job to end by the deadline; a cancel overrides every other cause."""
    _require(job, PLACED, cause)
    if job.phase is Phase.STOPPING and (
        job.stop_cause is StopCause.CANCEL or cause is not StopCause.CANCEL
    ):
        raise Conflict("already_stopping", f"the job is stopping: {job.stop_cause}")
    if job.phase is Phase.PREEMPTING and cause is StopCause.REQUEUE:
        raise Conflict("already_stopping", "the job is being preempted and will be queued again")
    return [e.StopRequested(job.attempt, cause, deadline)]


def expire_grace(job: Job, now: int) -> list[JobEvent]:
    """The deadline passed and the attempt still runs: have it killed."""
    _require(job, frozenset({Phase.PREEMPTING, Phase.STOPPING}), "grace")
    if job.stop_deadline is None or job.stop_deadline > now:
        raise Conflict("not_due", "the job may still save and leave")
    return [] if job.grace_expired else [e.GraceExpired(job.attempt)]


def limit_at(job: Job) -> int | None:
    """When the attempt has to end: by its time limit once it runs, or by what its budget had.

    None if nothing limits it, and once it was asked to stop.
    """
    if job.stop_cause is not None:
        return None
    own = _own_limit(job)
    if own is None or job.stop_at is None:
        return job.stop_at if own is None else own
    return min(own, job.stop_at)


def _own_limit(job: Job) -> int | None:
    limit = job.spec.time_limit_seconds
    if limit is None or job.started_at is None:
        return None
    return job.started_at + limit * SECOND


def reach_limit(job: Job, now: int, deadline: int) -> list[JobEvent]:
    """The attempt ran as long as it may: ask it to end by the deadline."""
    limit = limit_at(job)
    if limit is None or limit > now:
        raise Conflict("not_due", "the attempt has not reached its time limit")
    by_budget = limit == job.stop_at and limit != _own_limit(job)
    return stop(job, StopCause.BUDGET if by_budget else StopCause.TIME_LIMIT, deadline)


def cancel(job: Job, deadline: int) -> list[JobEvent]:
    """End the job: at once while it waits, by the deadline while it is placed."""
    if job.phase in PLACED:
        return stop(job, StopCause.CANCEL, deadline)
    _require(job, WAITING, "cancel")
    return [e.Cancelled()]


def suspend(job: Job, deadline: int) -> list[JobEvent]:
    """Take the job out of the queue, or have it save and leave its nodes."""
    if job.phase in PLACED:
        return stop(job, StopCause.SUSPEND, deadline)
    _require(job, frozenset({Phase.QUEUED, Phase.HELD, Phase.BLOCKED}), "suspend")
    return [e.Suspended()]


def resume(job: Job, now: int) -> list[JobEvent]:
    """Put a suspended or held job into the queue, once the jobs it comes after have ended."""
    _require(job, frozenset({Phase.SUSPENDED, Phase.HELD}), "resume")
    cause = QueuedCause.RESUMED if job.phase is Phase.SUSPENDED else QueuedCause.RELEASED
    return [_entry(job, cause, now)]


def requeue(job: Job, now: int, deadline: int) -> list[JobEvent]:
    """Run the job once more: after it ended without success, or by stopping its attempt."""
    if job.phase in PLACED:
        return stop(job, StopCause.REQUEUE, deadline)
    _require(job, ENDED - {Phase.SUCCEEDED}, "requeue")
    again = e.Reopened(job.id, job.spec, job.submitted_by, job.priority, job.attempt)
    return [again, _entry(evolve(None, again), QueuedCause.REQUEUED, now)]


def retry_due(job: Job, now: int) -> list[JobEvent]:
    """The backoff is over: back into the queue."""
    _require(job, frozenset({Phase.HELD}), "retry")
    if job.due_at is None or job.due_at > now:
        raise Conflict("not_due", "the job is held by its user or its backoff is not over")
    return [_queued(job, QueuedCause.RETRY, now)]


def set_priority(job: Job, priority: int) -> list[JobEvent]:
    """Change the job's priority; it keeps its time in the queue."""
    between("priority", priority, 0, MAX_PRIORITY)
    _require(job, frozenset(Phase) - ENDED - {Phase.SUBMITTED}, "set priority")
    return [] if priority == job.priority else [e.PriorityChanged(priority, job.priority)]


def end_attempt(
    job: Job,
    attempt: int,
    outcome: Outcome,
    exit_code: int | None,
    detail: str,
    *,
    now: int,
    jitter_milli: int,
) -> list[JobEvent]:
    """Conclude an attempt whose seats all ended: the end of the job, or its next turn.

    `jitter_milli` is 0 to 1000 and spreads retries (see `backoff`).
    """
    _require_attempt(job, attempt)
    ended = e.AttemptEnded(attempt, outcome, exit_code, detail)
    return [ended, _consequence(job, attempt, outcome, exit_code, now, jitter_milli)]


def _consequence(
    job: Job,
    attempt: int,
    outcome: Outcome,
    exit_code: int | None,
    now: int,
    jitter_milli: int,
) -> JobEvent:
    if outcome is Outcome.EXITED and exit_code == 0:
        return e.Succeeded(attempt)
    match job.stop_cause:
        case StopCause.CANCEL:
            return e.Cancelled()
        case StopCause.TIME_LIMIT | StopCause.BUDGET:
            return e.TimedOut(attempt)
        case StopCause.SUSPEND:
            return e.Suspended()
        case StopCause.REQUEUE:
            return _queued(job, QueuedCause.REQUEUED, now)
        case StopCause.PRIORITY if outcome is Outcome.STOPPED:
            return _queued(job, QueuedCause.PREEMPTED, job.queued_since)
        case StopCause.DRAIN | StopCause.WINDOW if outcome is Outcome.STOPPED:
            return _queued(job, QueuedCause.DRAINED, job.queued_since)
        case StopCause.PRIORITY | StopCause.DRAIN | StopCause.WINDOW | StopCause.SEAT_ENDED | None:
            pass  # it ended by itself: what it did counts, not what it was asked
        case never:
            assert_never(never)
    if outcome in (Outcome.LOST, Outcome.STOPPED):
        return _queued(job, QueuedCause.NODE_LOST, job.queued_since)
    if job.failures < job.spec.retry.max_retries:
        wait = backoff(job.spec.retry, job.failures + 1, jitter_milli)
        return e.RetryScheduled(job.failures + 1, now + wait)
    return e.Failed(attempt, outcome, exit_code)


def backoff(retry: Retry, failures: int, jitter_milli: int) -> int:
    """Microseconds to wait after the `failures`th failure: doubling, capped, then jittered.

    Equal jitter: half of the capped wait is kept, half is scaled by `jitter_milli`/1000
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    capped = min(retry.backoff_seconds << min(failures - 1, 20), retry.max_backoff_seconds)
    return capped * SECOND * (1000 + jitter_milli) // 2000
