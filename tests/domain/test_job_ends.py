"""Job: what the end of an attempt leads to, by outcome and by what was asked meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.allocation.seat import Outcome
from domain.errors import Conflict
from domain.event import Event
from domain.job import events as e
from domain.job import job as jobs
from domain.job.backoff import backoff
from domain.job.events import QueuedCause, StopCause
from domain.job.spec import Retry
from domain.job.transitions import Phase
from domain.values.time import SECOND
from tests.domain import examples as x
from tests.scenario import Given, Scenario, When

given = Scenario(jobs.evolve).given
LATER = x.NOW + 1000
FAILURES = [
    (Outcome.EXITED, 1),
    (Outcome.OUT_OF_MEMORY, 137),
    (Outcome.START_FAILED, None),
]


def running(*events: Event, retries: int = 0, **retry: Any) -> Given:
    """The example job on its first attempt, with retries, after some more events."""
    first = x.submitted(retry=Retry(retries, **retry))
    return given(first, x.QUEUED, x.PLACED, x.STARTED, *events)


def end(job: Given, outcome: Outcome, code: int | None = None, jitter: int = 0) -> When:
    """The first attempt ends."""
    return job.when(jobs.end_attempt, 1, outcome, code, "seen", now=LATER, jitter_milli=jitter)


def ended(outcome: Outcome, code: int | None = None) -> e.AttemptEnded:
    """The fact that comes before every consequence."""
    return e.AttemptEnded(1, outcome, code, "seen")


def queued(cause: QueuedCause, since: int = x.NOW) -> e.Queued:
    """The job is in the queue again."""
    return e.Queued(cause, since, 0, "train", "ada")


def test_exit_0_is_success() -> None:
    after = end(running(), Outcome.EXITED, 0).then(ended(Outcome.EXITED, 0), e.Succeeded(1))
    assert after.phase is Phase.SUCCEEDED
    assert (after.allocation, after.seats, after.started_at) == (None, (), None)


@pytest.mark.parametrize("asked", [x.PREEMPTED, *map(x.stopping, StopCause)])
def test_exit_0_is_success_whatever_was_asked_meanwhile(asked: Event) -> None:
    end(running(asked), Outcome.EXITED, 0).then(ended(Outcome.EXITED, 0), e.Succeeded(1))


@pytest.mark.parametrize(("outcome", "code"), FAILURES)
def test_a_failure_without_retries_left_ends_the_job(outcome: Outcome, code: int | None) -> None:
    end(running(), outcome, code).then(ended(outcome, code), e.Failed(1, outcome, code))


@pytest.mark.parametrize(("outcome", "code"), FAILURES)
def test_a_failure_with_retries_left_waits_and_runs_again(
    outcome: Outcome, code: int | None
) -> None:
    after = end(running(retries=1, backoff_seconds=10), outcome, code, jitter=1000).then(
        ended(outcome, code), e.RetryScheduled(1, LATER + 10 * SECOND)
    )
    assert (after.phase, after.failures, after.due_at) == (Phase.HELD, 1, LATER + 10 * SECOND)
    with pytest.raises(Conflict):
        jobs.retry_due(after, LATER + 10 * SECOND - 1)
    again = queued(QueuedCause.RETRY, LATER + 10 * SECOND)
    assert jobs.retry_due(after, LATER + 10 * SECOND) == [again]
    assert jobs.evolve(after, again).due_at is None


def test_the_last_retry_is_followed_by_the_end() -> None:
    second = (
        e.RetryScheduled(1, LATER),
        queued(QueuedCause.RETRY),
        e.Placed(2, x.ALLOCATION, x.seats(), ""),
    )
    job = running(*second, retries=1)
    job.when(jobs.end_attempt, 2, Outcome.EXITED, 3, "", now=LATER, jitter_milli=0).then(
        e.AttemptEnded(2, Outcome.EXITED, 3, ""), e.Failed(2, Outcome.EXITED, 3)
    )


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.STOPPED])
def test_a_lost_attempt_keeps_its_place_and_costs_no_retry(outcome: Outcome) -> None:
    after = end(running(), outcome).then(ended(outcome), queued(QueuedCause.NODE_LOST))
    assert after.failures == 0


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.STOPPED, None), (Outcome.LOST, None), (Outcome.EXITED, 143)]
)
@pytest.mark.parametrize(
    ("cause", "consequence"),
    [
        (StopCause.CANCEL, e.Cancelled()),
        (StopCause.SUSPEND, e.Suspended()),
        (StopCause.TIME_LIMIT, e.TimedOut(1)),
        (StopCause.REQUEUE, queued(QueuedCause.REQUEUED, LATER)),
    ],
)
def test_what_a_user_asked_for_happens_however_the_attempt_ends(
    cause: StopCause, consequence: Event, outcome: Outcome, code: int | None
) -> None:
    job = running(x.stopping(cause), retries=3)
    end(job, outcome, code).then(ended(outcome, code), consequence)


@pytest.mark.parametrize(
    ("cause", "requeued"),
    [
        (StopCause.PRIORITY, QueuedCause.PREEMPTED),
        (StopCause.DRAIN, QueuedCause.DRAINED),
        (StopCause.MIGRATION, QueuedCause.MIGRATED),
    ],
)
def test_a_preempted_job_queues_again_at_its_old_place(
    cause: StopCause, requeued: QueuedCause
) -> None:
    asked = e.PreemptionRequested(1, cause, None, LATER)
    after = end(running(asked), Outcome.STOPPED).then(ended(Outcome.STOPPED), queued(requeued))
    assert (after.phase, after.stop_cause, after.preemptor) == (Phase.QUEUED, None, None)


def test_a_crash_while_preempting_is_a_crash() -> None:
    end(running(x.PREEMPTED), Outcome.EXITED, 1).then(
        ended(Outcome.EXITED, 1), e.Failed(1, Outcome.EXITED, 1)
    )
    end(running(x.PREEMPTED, retries=1, backoff_seconds=0), Outcome.EXITED, 1).then(
        ended(Outcome.EXITED, 1), e.RetryScheduled(1, LATER)
    )


def test_a_node_lost_while_preempting_is_a_loss() -> None:
    end(running(x.PREEMPTED), Outcome.LOST).then(ended(Outcome.LOST), queued(QueuedCause.NODE_LOST))


def test_a_gang_stopped_for_one_crashed_seat_counts_the_crash() -> None:
    job = running(x.stopping(StopCause.SEAT_ENDED))
    end(job, Outcome.EXITED, 9).then(ended(Outcome.EXITED, 9), e.Failed(1, Outcome.EXITED, 9))
    end(job, Outcome.LOST).then(ended(Outcome.LOST), queued(QueuedCause.NODE_LOST))


def test_an_end_of_another_attempt_is_refused() -> None:
    running().when(jobs.end_attempt, 2, Outcome.EXITED, 0, "", now=LATER, jitter_milli=0).refused(
        Conflict, "stale_attempt", attempt=1
    )


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds_milli"),
    [
        (1, 0, 5_000),  # half of 10 s is certain
        (1, 1000, 10_000),
        (2, 1000, 20_000),
        (4, 1000, 80_000),
        (7, 1000, 600_000),  # 640 s is over the ceiling
        (100, 0, 300_000),
        (100, 1000, 600_000),
    ],
)
def test_backoff_doubles_to_its_ceiling(failures: int, jitter: int, seconds_milli: int) -> None:
    assert backoff(Retry(100), failures, jitter) == seconds_milli * 1000


@for_all(
    st.builds(
        Retry,
        st.integers(0, 100),
        st.integers(0, 86_400),
        st.integers(0, 86_400),
    ),
    st.integers(1, 100),
    st.integers(0, 1000),
)
def test_backoff_lies_between_half_and_all_of_its_ceiling(
    retry: Retry, failures: int, jitter: int
) -> None:
    wait = backoff(retry, failures, jitter)
    ceiling = min(retry.backoff_seconds * 2 ** (failures - 1), retry.max_backoff_seconds)
    assert ceiling * SECOND // 2 <= wait <= ceiling * SECOND
    assert wait <= backoff(retry, failures, min(1000, jitter + 1))
    assert wait <= backoff(retry, failures + 1, jitter)
