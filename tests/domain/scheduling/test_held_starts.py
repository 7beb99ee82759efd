"""Starts that are held for blocked jobs, and what may fill the time until then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.job.transitions import PLACED, Phase
from domain.policy.events import Backfill, Order
from domain.scheduling.plan import plan
from domain.scheduling.reason import WaitCode
from domain.values.ids import JobId
from domain.values.time import SECOND
from tests.domain.scheduling.stage import Stage


def busy(**policy: object) -> Stage:
    """Four GPUs of which two are in use for 100 s; then a job waits for all four."""
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.policy(**policy)
    stage.ask("runs", 2, estimate_seconds=100)
    stage.run()
    stage.ask("wide", 4, estimate_seconds=50)
    stage.run()
    return stage


def test_the_start_of_the_first_that_waits_is_foreseen() -> None:
    stage = busy()
    began = stage.job("runs").started_at
    assert stage.why("wide").starts_at == began + 100 * SECOND


def test_a_short_job_fills_the_time_and_a_long_one_does_not() -> None:
    stage = busy()
    stage.ask("long", 2, estimate_seconds=500)
    stage.ask("unknown", 2)
    assert stage.run() == []
    assert stage.why("long").code is WaitCode.CAPACITY_RESERVED
    stage.ask("short", 2, estimate_seconds=60)
    assert stage.run() == ["short"]


def test_without_backfill_capacity_that_nobody_else_can_use_is_given_away() -> None:
    stage = busy(enable_backfill=False)
    stage.ask("long", 2, estimate_seconds=500)
    assert stage.run() == ["long"]


def test_a_job_that_leaves_room_beside_the_held_start_may_run_on() -> None:
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.ask("runs", 3, estimate_seconds=100)
    stage.run()
    stage.ask("wide", 3, estimate_seconds=50)
    stage.run()
    stage.ask("beside", 1, estimate_seconds=5000)
    assert stage.run() == ["beside"]


def test_easy_holds_for_the_first_and_conservative_for_all() -> None:
    for backfill in Backfill:
        stage = busy(backfill=backfill)
        stage.ask("second", 4, estimate_seconds=50)
        stage.run()
        began = stage.job("runs").started_at
        starts = began + 150 * SECOND if backfill is Backfill.CONSERVATIVE else None
        assert stage.why("second").starts_at == starts


def test_a_job_that_overruns_is_expected_to_run_as_long_again() -> None:
    stage = busy(enable_preemption=False)
    began = stage.job("runs").started_at
    stage.pass_time(150)
    stage.ask("other", 4, estimate_seconds=50, priority=1)
    stage.run()
    assert stage.why("other").starts_at == began + 200 * SECOND


def test_nobody_makes_room_whose_leaving_a_held_start_counts_on() -> None:
    """Else the one behind would have what was promised to the one ahead of it."""
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.policy(primary_policy=Order.FIFO)
    stage.ask("runs", 4, estimate_seconds=100)
    stage.run()
    stage.ask("ahead", 4, estimate_seconds=50)
    stage.run()
    stage.ask("behind", 4, priority=1000)
    assert stage.decide().preemptions == []
    stage.end(JobId("runs"))
    assert stage.run() == ["ahead"]


JOBS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 60), st.integers(1, 2), st.integers(0, 30)),
    min_size=2,
    max_size=14,
)


@given(
    JOBS,
    st.sampled_from(list(Backfill)),
    st.integers(1, 3),
    st.sampled_from([None, None, 1, 30, 60, 100]),
)
def test_with_exact_estimates_no_held_start_is_ever_missed(
    jobs: list[tuple[int, int, int, int]], backfill: Backfill, depth: int, units: int | None
) -> None:
    """Jobs come, run exactly as long as they said, and first come is first looked at.

    The promise is to the first that waits: those behind it may be moved by those ahead of them,
    which choose their seats anew when they start, but by nobody else. However little a cycle may
    do, as long as rounds are over before anything happens.
    """
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.node("n2", gpus=3)
    stage.policy(
        primary_policy=Order.FIFO,
        enable_preemption=False,
        backfill=backfill,
        backfill_depth=depth,
    )
    begin, arrivals = stage.now, []
    for number, (gpus, seconds, replicas, later) in enumerate(jobs):
        at = begin + (later + number) * SECOND * 10
        arrivals.append((at, f"job-{number:02}", gpus, seconds, replicas))
    arrivals.sort()
    promised: dict[str, int] = {}
    ends: list[tuple[int, str]] = []
    while arrivals or ends:
        at = min([a[0] for a in arrivals[:1]] + [e[0] for e in sorted(ends)[:1]])
        stage.now = at
        while ends and min(ends)[0] <= at:
            stage.end(JobId(min(ends)[1]))
            ends.remove(min(ends))
        while arrivals and arrivals[0][0] <= at:
            _, name, gpus, seconds, replicas = arrivals.pop(0)
            stage.now = at - SECOND
            stage.ask(name, gpus, replicas=replicas, estimate_seconds=seconds)
        stage.now = at
        for name in stage.run() if units is None else run_in_rounds(stage, units):
            assert name not in promised or at <= promised[name] + SLACK, (
                name,
                at,
                promised,
                jobs,
                backfill,
                depth,
            )
            ends.append((at + stage.job(name).spec.estimate_seconds * SECOND, name))
        waiting = [job for job in stage.in_phase(Phase.QUEUED) if is_possible(stage, job)]
        if waiting:
            first = min(waiting, key=lambda job: (stage.job(job).queued_since, job))
            starts = plan(stage.snapshot, stage.now).starts
            if first in starts:
                promised.setdefault(str(first), starts[first])
    left = stage.in_phase(Phase.QUEUED)
    assert all(stage.why(str(job)).code is WaitCode.NEVER_FITS for job in left)
    assert not stage.in_phase(*PLACED)


def run_in_rounds(stage: Stage, units: int) -> list[str]:
    """Those that started, in rounds of small cycles until nothing more is decided."""
    placed = [str(each.job) for made in stage.settle(units) for each in made.placements]
    for name in placed:
        stage.start(JobId(name))
    return placed


SLACK = SECOND // 10
"""Each recorded event takes a microsecond in these tests."""


def is_possible(stage: Stage, job: JobId) -> bool:
    return stage.why(str(job)).code is not WaitCode.NEVER_FITS
