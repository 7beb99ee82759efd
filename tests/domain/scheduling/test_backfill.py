"""Laws of backfill over whole runs, and its cases by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pool import PoolEngine
from bench.simulator import History, simulate
from bench.trace import TraceJob
from domain.scheduling.backfill import conservative, easy, reference, strict
from domain.scheduling.order import ORDERS, Claim, fcfs
from domain.scheduling.profile import Profile

CAPACITY = 8


def claim(name: str, size: int, estimate: int, submitted: int = 0) -> Claim:
    return Claim(name, (size,), estimate, submitted, size)


@st.composite
def traces(draw: st.DrawFn, *, exact: bool = True) -> list[TraceJob]:
    times = sorted(draw(st.lists(st.integers(0, 40), min_size=1, max_size=14)))
    found = []
    for number, submitted in enumerate(times):
        run, size = draw(st.integers(1, 12)), draw(st.integers(1, CAPACITY))
        estimate = run if exact else run + draw(st.integers(0, 9))
        found.append(TraceJob(f"{number:03}", submitted, run, estimate, (size,), size))
    return found


class Watched(PoolEngine):
    """Keeps the first start that was held for each job, and every later one."""

    def decide(self, now: int):  # type: ignore[no-untyped-def]
        found = list(super().decide(now))
        for job, start in self.held.items():
            self.given.setdefault(job, []).append(start)
        return found

    given: dict[str, list[int]]


def ran(jobs: list[TraceJob], order: str, backfill: str, depth: int = 1) -> tuple[History, Watched]:
    engine = Watched((CAPACITY,), order, backfill, depth=depth)
    engine.given = {}
    return simulate(jobs, engine), engine


@given(traces(), st.integers(1, 4))
def test_no_filler_delays_a_held_start_when_estimates_are_exact(
    jobs: list[TraceJob], depth: int
) -> None:
    history, engine = ran(jobs, "fcfs", "easy", depth)
    for job, given_starts in engine.given.items():
        assert history.starts[job] <= given_starts[0]
        assert given_starts == sorted(given_starts, reverse=True)


@given(traces(exact=False), st.sampled_from(sorted(ORDERS)))
def test_conservative_never_delays_the_first_start_it_gave(
    jobs: list[TraceJob], order: str
) -> None:
    history, engine = ran(jobs, order, "conservative")
    for job, given_starts in engine.given.items():
        assert history.starts[job] <= given_starts[0]
        assert given_starts == sorted(given_starts, reverse=True)


@given(
    traces(exact=False),
    st.sampled_from(sorted(ORDERS)),
    st.sampled_from(["none", "easy", "conservative"]),
)
def test_every_job_runs_once_and_nothing_is_over_capacity(
    jobs: list[TraceJob], order: str, backfill: str
) -> None:
    history, _ = ran(jobs, order, backfill, 2)
    assert set(history.ends) == {job.name for job in jobs}
    for time in history.starts.values():
        used = sum(size for start, end, size in history.runs if start <= time < end)
        assert used <= CAPACITY
    assert all(wait >= 0 for wait in history.waits)


def test_a_filler_ends_before_the_shadow_or_uses_the_extra() -> None:
    profile = Profile((8,))
    profile.reserve(0, 10, (6,))  # runs until 10
    head, long_small, long_big = claim("a", 6, 5), claim("b", 2, 99), claim("c", 2, 10)
    made = easy(0, [head, long_small, long_big], profile.copy())
    assert (made.starts, made.holds) == ((long_small,), {"a": 10})
    wide = claim("d", 7, 5)
    made = easy(0, [wide, long_small, long_big], profile.copy())
    assert (made.starts, made.holds) == ((long_big,), {"d": 10})


def test_strict_stops_at_the_first_that_does_not_fit() -> None:
    one, two, three = claim("a", 4, 5), claim("b", 6, 5), claim("c", 1, 1)
    assert strict(0, [one, two, three], Profile((8,))).starts == (one,)


def test_easy_with_depth_zero_holds_nothing_and_what_never_fits_holds_nothing() -> None:
    profile = Profile((8,))
    assert easy(0, [claim("a", 9, 1), claim("b", 1, 1)], profile, 2).holds == {}


def test_conservative_keeps_a_hold_that_another_order_would_take() -> None:
    profile = Profile((4,))
    profile.reserve(0, 10, (4,))
    first, later = claim("a", 4, 10), claim("b", 4, 1)
    given = conservative(0, [first], profile.copy(), {}).holds
    assert given == {"a": 10}
    assert conservative(0, [later, first], profile, given).holds == {"a": 10, "b": 20}


def test_the_reference_head_stays_and_fillers_end_strictly_before_the_shadow() -> None:
    profile = Profile((4,))
    profile.reserve(0, 10, (2,))
    head, exactly, short = claim("a", 4, 5), claim("b", 1, 10), claim("c", 1, 9)
    made, kept = reference(0, [head, exactly, short], profile.copy(), fcfs, None, fill=True)
    assert made.starts == (short,)
    assert kept is not None
    assert (kept.head, kept.shadow) == (head, 10)
    first = claim("0", 1, 1)
    made, kept = reference(0, [first, head], profile.copy(), fcfs, kept, fill=False)
    assert made.starts == ()
    with pytest.raises(ValueError, match="never fit"):
        reference(0, [claim("x", 5, 1)], profile, fcfs, None, fill=True)
