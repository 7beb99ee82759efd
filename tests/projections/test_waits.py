"""The wait ledger: what it counts adds up to the wait, for every job and for all together."""

from __future__ import annotations

from collections import Counter

import pytest

from domain.job import events as e
from domain.job.job import Job, evolve
from domain.job.transitions import WAITING
from domain.job.waits import Apart, Waits, after
from domain.scheduling.reason import WaitCode, WaitReason
from processors.projector import connect
from projections import jobs
from tests.domain.examples import HELD, NOW, PLACED, QUEUED, SUBMITTED
from tests.projections.histories import SEEDS, Portions, history
from tests.projections.tables import project_all


def ledgers(seed: int) -> tuple[dict[str, Waits], dict[str, int], int]:
    """Each job's ledger; its wait counted by its phases alone; and when the history ends."""
    found: dict[str, Waits] = {}
    states: dict[str, Job] = {}
    waited: Counter[str] = Counter()
    since: dict[str, int] = {}
    at = 0
    for recorded in history(seed):
        event, at = recorded.event, recorded.recorded_at
        if not isinstance(event, e.JobEvent):
            continue
        job = recorded.stream.partition("/")[2]
        found[job] = after(found.get(job, Waits()), event, at)
        states[job] = evolve(states.get(job), event)
        waited[job] += at - since.pop(job, at)
        if states[job].phase in WAITING:
            since[job] = at
    for job, begun in since.items():
        waited[job] += at - begun
    return found, waited, at


@pytest.mark.parametrize("seed", SEEDS)
def test_causes_add_up_to_the_wait(seed: int) -> None:
    """Law: for every job, the ledger sums to the time it was in a phase of waiting."""
    found, waited, end = ledgers(seed)
    assert {job: sum(w.by(end).values()) for job, w in found.items()} == dict(waited)
    known = {cause.value for cause in (*WaitCode, *Apart)}
    assert {cause for w in found.values() for cause in w.by(end)} <= known
    assert any(waited.values())


def test_all_jobs_together_are_the_sum_of_each(dsn: str) -> None:
    found, waited, end = ledgers(SEEDS[0])
    project_all(dsn, Portions(list(history(SEEDS[0]))))
    with connect(dsn) as connection:
        together = jobs.waited(connection, None, end)
        assert sum(each.waited_us for each in together) == sum(waited.values())
        by_cause: Counter[str] = Counter()
        of_jobs: Counter[str] = Counter()
        for ledger in found.values():
            by_cause.update(ledger.by(end))
            of_jobs.update(ledger.by(end).keys())
        assert {each.cause: each.waited_us for each in together if each.waited_us} == by_cause
        assert {each.cause: each.jobs for each in together if each.waited_us} == of_jobs
        assert jobs.waited(connection, ["nobody"], end) == []


def test_each_turn_is_counted_under_what_kept_it() -> None:
    no_gpu = e.WaitExplained(WaitReason(WaitCode.INSUFFICIENT_GPU))
    quota = e.WaitExplained(WaitReason(WaitCode.OVER_QUOTA))
    told = [
        (SUBMITTED, 0),
        (HELD, 0),
        (QUEUED, 10),
        (no_gpu, 12),
        (e.PriorityChanged(5, 0), 20),
        (no_gpu, 30),
        (quota, 40),
        (PLACED, 100),
        (e.RetryScheduled(1, NOW), 500),
        (QUEUED, 600),
        (e.Suspended(), 601),
        (QUEUED, 700),
        (e.Cancelled(), 701),
    ]
    ledger = Waits()
    for event, at in told:
        ledger = after(ledger, event, at)  # type: ignore[arg-type]  # events of a job
    assert ledger.by(9999) == {
        "backoff": 100,
        "suspended": 99,
        "over_quota": 60,
        "insufficient_gpu": 28,
        "held": 10,
        "not_examined": 4,
    }
    assert ledger.cause == ""
