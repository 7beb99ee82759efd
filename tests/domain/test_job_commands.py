"""Job: which command is taken in which phase, and what it records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from domain.allocation.seat import Outcome
from domain.errors import Conflict, Invalid, Refusal
from domain.event import Event
from domain.job import events as e
from domain.job import job as jobs
from domain.job.events import QueuedCause, StopCause
from domain.job.job import Job
from domain.job.transitions import ENDED, PLACED, Phase
from domain.scheduling.reason import Constraint, Excluded, WaitCode, WaitReason
from domain.values.ids import JobId
from tests.domain import examples as x
from tests.scenario import Scenario

given = Scenario(jobs.evolve).given
LATER = x.NOW + 1000
FOR = JobId("job-9")

COMMANDS: dict[str, tuple[Callable[[Job], Sequence[Event]], set[Phase]]] = {
    # command on the example job, the phases it is taken in
    "explain_wait": (lambda j: jobs.explain_wait(j, x.REASON), {Phase.QUEUED}),
    "place": (lambda j: jobs.place(j, x.ALLOCATION, x.seats(), "best_fit"), {Phase.QUEUED}),
    "start": (lambda j: jobs.start(j, 1, LATER), set(PLACED)),
    "preempt": (
        lambda j: jobs.preempt(j, StopCause.PRIORITY, FOR, LATER),
        {Phase.STARTING, Phase.RUNNING},
    ),
    "cancel": (lambda j: jobs.cancel(j, LATER), set(Phase) - ENDED),
    "suspend": (
        lambda j: jobs.suspend(j, LATER),
        {Phase.QUEUED, Phase.HELD} | PLACED - {Phase.STOPPING},
    ),
    "resume": (lambda j: jobs.resume(j, LATER), {Phase.SUSPENDED, Phase.HELD}),
    "requeue": (
        lambda j: jobs.requeue(j, LATER, LATER),
        {Phase.STARTING, Phase.RUNNING, Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT},
    ),
    "seat_ended": (
        lambda j: jobs.stop(j, StopCause.SEAT_ENDED, LATER),
        set(PLACED - {Phase.STOPPING}),
    ),
    "expire_grace": (
        lambda j: jobs.expire_grace(j, LATER),
        {Phase.PREEMPTING, Phase.STOPPING},
    ),
    "retry_due": (lambda j: jobs.retry_due(j, LATER), set()),  # held by its user, not by backoff
    "set_priority": (lambda j: jobs.set_priority(j, 7), set(Phase) - ENDED),
    "end_attempt": (
        lambda j: jobs.end_attempt(j, 1, Outcome.EXITED, 0, "", now=LATER, jitter_milli=0),
        set(PLACED),
    ),
}


@pytest.mark.parametrize("phase", x.IN_PHASE)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_taken_in_its_phases_and_refused_in_all_others(
    name: str, phase: Phase
) -> None:
    command, taken_in = COMMANDS[name]
    job = given(*x.IN_PHASE[phase])
    assert job.state.phase is phase
    outcome = job.when(command)
    assert (outcome.refusal is None) == (phase in taken_in), outcome
    assert outcome.refusal is None or isinstance(outcome.refusal, Conflict)


def test_submit_queues_the_job_by_the_priority_of_its_spec() -> None:
    spec = x.spec(priority=5)
    assert jobs.submit(x.JOB, spec, "ada", x.NOW) == [
        e.Submitted(x.JOB, spec, "ada"),
        e.Queued(QueuedCause.SUBMITTED, x.NOW, 5, "train", "ada"),
    ]


def test_submit_holds_a_job_that_asks_for_it_until_it_is_released() -> None:
    spec = x.spec(hold=True)
    held = [e.Submitted(x.JOB, spec, "ada"), e.Held()]
    assert jobs.submit(x.JOB, spec, "ada", x.NOW) == held
    released = e.Queued(QueuedCause.RELEASED, LATER, 0, "train", "ada")
    assert given(*held).when(jobs.resume, LATER).then(released).phase is Phase.QUEUED


def test_a_resumed_job_queues_anew_at_the_end_of_its_priority() -> None:
    queued = e.Queued(QueuedCause.RESUMED, LATER, 0, "train", "ada")
    given(*x.IN_PHASE[Phase.SUSPENDED]).when(jobs.resume, LATER).then(queued)


def test_a_reason_is_recorded_once_for_each_kind() -> None:
    few = WaitReason(WaitCode.INSUFFICIENT_GPU, 2, 0, (Excluded(Constraint.GPU, 2),), blocker="")
    more = WaitReason(WaitCode.INSUFFICIENT_GPU, 3, 0, (Excluded(Constraint.GPU, 3),), blocker="")
    job = x.IN_PHASE[Phase.QUEUED]
    assert given(*job).when(jobs.explain_wait, few).then(e.WaitExplained(few)).waiting == few
    given(*job, e.WaitExplained(few)).when(jobs.explain_wait, more).then()
    other = WaitReason(WaitCode.OVER_QUOTA, blocker="gpu")
    given(*job, e.WaitExplained(few)).when(jobs.explain_wait, other).then(e.WaitExplained(other))


def test_a_job_is_placed_whole_or_not() -> None:
    gang = (e.Submitted(x.JOB, x.spec(replicas=3), "ada"), x.QUEUED)
    given(*gang).when(jobs.place, x.ALLOCATION, x.seats(2), "best_fit").refused(
        Conflict, "gang_incomplete", want=3, got=2
    )
    after = (
        given(*gang)
        .when(jobs.place, x.ALLOCATION, x.seats(3), "best_fit")
        .then(e.Placed(1, x.ALLOCATION, x.seats(3), "best_fit"))
    )
    assert (after.phase, after.attempt, after.seats) == (Phase.STARTING, 1, x.seats(3))


def test_a_start_is_recorded_once_and_only_for_the_live_attempt() -> None:
    starting = x.IN_PHASE[Phase.STARTING]
    assert given(*starting).when(jobs.start, 1, LATER).then(e.Started(1, LATER)).phase == "running"
    given(*starting, x.STARTED).when(jobs.start, 1, LATER).then()
    given(*starting).when(jobs.start, 2, LATER).refused(Conflict, "stale_attempt", attempt=1)


@pytest.mark.parametrize("asked", [x.PREEMPTED, x.stopping(StopCause.CANCEL)])
def test_a_start_seen_after_a_stop_was_asked_changes_no_phase(asked: Event) -> None:
    before = given(*x.IN_PHASE[Phase.STARTING], asked)
    after = before.when(jobs.start, 1, LATER).then(e.Started(1, LATER))
    assert (after.phase, after.started_at) == (before.state.phase, LATER)


def test_preemption_names_the_attempt_the_preemptor_and_the_deadline() -> None:
    asked = e.PreemptionRequested(1, StopCause.PRIORITY, FOR, LATER)
    after = (
        given(*x.IN_PHASE[Phase.RUNNING])
        .when(jobs.preempt, StopCause.PRIORITY, FOR, LATER)
        .then(asked)
    )
    assert (after.stop_cause, after.preemptor, after.stop_deadline) == ("priority", FOR, LATER)


def test_a_cancelled_victim_still_makes_room_for_its_preemptor() -> None:
    preempting = given(*x.IN_PHASE[Phase.PREEMPTING])
    after = preempting.when(jobs.cancel, LATER).then(e.StopRequested(1, StopCause.CANCEL, LATER))
    assert (after.phase, after.preemptor) == (Phase.STOPPING, FOR)


STOPS = [cause for cause in StopCause if cause not in (StopCause.PRIORITY, StopCause.DRAIN)]


@pytest.mark.parametrize("first", STOPS)
@pytest.mark.parametrize("second", STOPS)
def test_only_a_cancel_overrides_a_stop(first: StopCause, second: StopCause) -> None:
    outcome = given(*x.IN_PHASE[Phase.RUNNING], x.stopping(first)).when(jobs.stop, second, LATER)
    if second is StopCause.CANCEL and first is not StopCause.CANCEL:
        assert outcome.then(e.StopRequested(1, second, LATER)).stop_cause is second
    else:
        outcome.refused(Conflict, "already_stopping")


@pytest.mark.parametrize("cause", STOPS)
def test_any_stop_but_a_requeue_overrides_a_preemption(cause: StopCause) -> None:
    outcome = given(*x.IN_PHASE[Phase.PREEMPTING]).when(jobs.stop, cause, LATER)
    if cause is StopCause.REQUEUE:
        outcome.refused(Conflict, "already_stopping")
    else:
        assert outcome.then(e.StopRequested(1, cause, LATER)).phase is Phase.STOPPING


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.HELD, Phase.SUSPENDED])
def test_a_waiting_job_is_cancelled_at_once(phase: Phase) -> None:
    given(*x.IN_PHASE[phase]).when(jobs.cancel, LATER).then(e.Cancelled())


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.HELD])
def test_a_waiting_job_is_suspended_at_once(phase: Phase) -> None:
    given(*x.IN_PHASE[phase]).when(jobs.suspend, LATER).then(e.Suspended())


@pytest.mark.parametrize("asked", [x.PREEMPTED, x.stopping(StopCause.SUSPEND)])
def test_grace_expires_once_and_not_before_the_deadline(asked: Event) -> None:
    job = (*x.IN_PHASE[Phase.RUNNING], asked)
    deadline = x.NOW + 30
    given(*job).when(jobs.expire_grace, deadline - 1).refused(Conflict, "not_due")
    given(*job).when(jobs.expire_grace, deadline).then(e.GraceExpired(1))
    given(*job, e.GraceExpired(1)).when(jobs.expire_grace, deadline).then()


def test_a_job_to_be_killed_stays_so_when_it_is_cancelled_too() -> None:
    killed = given(*x.IN_PHASE[Phase.PREEMPTING], e.GraceExpired(1))
    asked = e.StopRequested(1, StopCause.CANCEL, LATER)
    assert killed.when(jobs.cancel, LATER).then(asked).grace_expired


def limited(*events: Event, seconds: int | None = 60) -> Any:
    """The example job with a time limit."""
    return given(x.submitted(time_limit_seconds=seconds), x.QUEUED, x.PLACED, *events)


def test_the_time_limit_counts_from_the_start_of_the_attempt() -> None:
    assert jobs.limit_at(limited().state) is None
    limit = x.STARTED.at + 60_000_000
    running = limited(x.STARTED)
    assert jobs.limit_at(running.state) == limit
    running.when(jobs.reach_limit, limit - 1, LATER).refused(Conflict, "not_due")
    running.when(jobs.reach_limit, limit, LATER).then(
        e.StopRequested(1, StopCause.TIME_LIMIT, LATER)
    )


def test_no_time_limit_once_the_job_was_asked_to_stop_or_has_none() -> None:
    stopped = limited(x.STARTED, x.stopping(StopCause.SUSPEND))
    unlimited = limited(x.STARTED, seconds=None)
    for job in (stopped, unlimited):
        assert jobs.limit_at(job.state) is None
        job.when(jobs.reach_limit, LATER + 2**50, LATER).refused(Conflict, "not_due")


def test_a_priority_is_changed_with_what_it_was_and_only_if_it_differs() -> None:
    queued = given(*x.IN_PHASE[Phase.QUEUED])
    after = queued.when(jobs.set_priority, 1000).then(e.PriorityChanged(1000, 0))
    assert (after.priority, after.queued_since) == (1000, x.NOW)
    queued.when(jobs.set_priority, 0).then()


@pytest.mark.parametrize("priority", [-1, 1001])
def test_a_priority_out_of_range_is_refused(priority: int) -> None:
    given(*x.IN_PHASE[Phase.QUEUED]).when(jobs.set_priority, priority).refused(
        Invalid, "out_of_range", field="priority"
    )


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT])
def test_an_ended_job_runs_again_with_the_next_attempt(phase: Phase) -> None:
    ended = given(*x.IN_PHASE[phase])
    attempt = ended.state.attempt
    after = ended.when(jobs.requeue, LATER, 0).then(
        e.Reopened(x.JOB, x.SPEC, "ada", 0, attempt),
        e.Queued(QueuedCause.REQUEUED, LATER, 0, "train", "ada"),
    )
    assert (after.phase, after.failures) == (Phase.QUEUED, 0)
    [placed] = jobs.place(after, x.ALLOCATION, x.seats(), "best_fit")
    assert isinstance(placed, e.Placed)
    assert placed.attempt == attempt + 1


def test_a_refusal_names_phase_and_the_phases_that_would_do() -> None:
    outcome = given(*x.IN_PHASE[Phase.SUCCEEDED]).when(jobs.cancel, LATER)
    outcome.refused(Conflict, "wrong_phase", phase="succeeded")
    assert isinstance(outcome.refusal, Refusal)
    assert outcome.refusal.detail == (
        "the job is succeeded; cancel needs one of: blocked, held, queued, suspended"
    )
