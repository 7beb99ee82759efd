"""Bounded cycles: a round of them starts whom one unbounded cycle would, and starves nobody."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.policy.events import Backfill, Order, SchedulerSet, SchedulerSettings
from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.plan import plan
from domain.scheduling.saved import pack, unpack
from domain.values.ids import JobId
from tests.domain.scheduling import test_board as large
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.strategies import cells

UNITS = st.sampled_from([1, 2, 5, 10, 20, 40, 80, 200])
SETTINGS = st.builds(
    SchedulerSettings,
    enable_preemption=st.booleans(),
    grace_seconds=st.just(30),
    primary_policy=st.sampled_from([Order.PRIORITY, Order.FIFO, Order.FAIR_SHARE]),
    secondary_policy=st.just(Order.FIFO),
    backfill=st.sampled_from(Backfill),
    backfill_depth=st.integers(1, 3),
)


@given(cells(), SETTINGS, st.sampled_from([10**4, 10**9]))
def test_a_bound_that_is_not_reached_changes_nothing(
    cell: Cell, policy: SchedulerSettings, units: int
) -> None:
    cell.record("policy/cell", [SchedulerSet(policy)])
    assert plan(cell.snapshot, cell.now, Bound(units)) == plan(cell.snapshot, cell.now)


@given(cells(), SETTINGS, UNITS)
def test_rounds_leave_nothing_that_an_unbounded_cycle_would_decide(
    cell: Cell, policy: SchedulerSettings, units: int
) -> None:
    """Also once those have left who were asked to."""
    cell.record("policy/cell", [SchedulerSet(policy)])
    for _ in range(2):
        cell.settle(units)
        whole = plan(cell.snapshot, cell.now)
        assert (whole.placements, whole.preemptions) == ([], [])
        if not cell.snapshot.leaving:
            cell.round(units)
            assert plan(cell.snapshot, cell.now).waits == []
        cell.finish_leaving()


@given(cells(), SETTINGS, UNITS)
def test_a_round_without_changes_is_one_cycle_in_parts(
    cell: Cell, policy: SchedulerSettings, units: int
) -> None:
    """Where nobody starts, what is told and held comes to the same."""
    cell.record("policy/cell", [SchedulerSet(policy)])
    cell.settle(units)
    starts = {}
    for made in cell.round(units):
        starts.update(made.starts)
    assert starts == plan(cell.snapshot, cell.now).starts


@settings(max_examples=40)
@given(cells(), SETTINGS, UNITS)
def test_a_bounded_cycle_is_decided_the_same_from_a_kept_state_and_by_boards(
    cell: Cell, policy: SchedulerSettings, units: int
) -> None:
    cell.record("policy/cell", [SchedulerSet(policy)])
    bound = Bound(units)
    for _ in range(5):
        kept = unpack(pack(cell.snapshot))
        made = plan(cell.snapshot, cell.now, bound)
        assert plan(kept, cell.now, bound) == made
        assert plan(replace(cell.snapshot, board_from=0), cell.now, bound) == made
        cell.decide(bound)
        bound = Bound(units, made.cursor)


@given(cells(), SETTINGS, UNITS)
def test_gangs_are_whole_and_no_job_is_given_two_places(
    cell: Cell, policy: SchedulerSettings, units: int
) -> None:
    cell.record("policy/cell", [SchedulerSet(policy)])
    placed = [each for made in cell.settle(units) for each in made.placements]
    assert len({each.job for each in placed}) == len(placed)
    for each in placed:
        assert len(each.seats) == cell.job(each.job).spec.replicas


def a_full_cell(**settings: Any) -> Stage:
    """Two nodes of 8 GPUs that are in use, one by two jobs; no preemption."""
    stage = Stage()
    for name in ("n1", "n2"):
        stage.node(name, gpus=8)
    stage.policy(**{"enable_preemption": False, **settings})
    stage.ask("runs", 8)
    for name in ("half-1", "half-2"):
        stage.ask(name, 4)
    assert len(stage.run()) == 3
    return stage


def unlike(stage: Stage, name: str, gpus: int, count: int, **changes: Any) -> list[JobId]:
    """Jobs of so many GPUs, no two alike."""
    return [
        stage.ask(f"{name}-{n:03}", gpus, time_limit_seconds=3600 + n, **changes)
        for n in range(count)
    ]


def at(stage: Stage, units: int, cycles: int, bound: Bound = WHOLE) -> tuple[Bound, list[str]]:
    """So many cycles; where the next one begins, and who was placed."""
    placed: list[str] = []
    for _ in range(cycles):
        made = stage.decide(Bound(units, bound.cursor))
        bound = Bound(units, made.cursor)
        placed += [str(each.job) for each in made.placements]
        for each in made.placements:
            stage.start(each.job)
    return bound, placed


def test_a_cycle_that_is_cut_tells_those_it_reached_and_goes_on_behind_them() -> None:
    stage = a_full_cell(enable_backfill=False)
    jobs = unlike(stage, "big", 8, 30)
    told: list[JobId] = []
    cursor = None
    for _ in range(3):
        made = stage.decide(Bound(100, cursor))
        assert made.more
        told += [wait.job for wait in made.waits]
        cursor = made.cursor
        assert cursor is not None
        assert cursor.job == jobs[len(told)], "the first that was not reached"
    assert told == jobs[: len(told)]
    assert len(told) > 15


def test_who_comes_meanwhile_and_ranks_before_the_cursor_is_let_in() -> None:
    stage = a_full_cell(enable_backfill=False)
    unlike(stage, "big", 8, 30)
    bound, _ = at(stage, 100, 1)
    stage.node("n3", gpus=1)
    stage.ask("urgent", 1, priority=9)
    assert at(stage, 100, 1, bound)[1] == ["urgent"]


def test_what_comes_free_goes_to_the_first_that_fits_though_it_was_passed_in_this_round() -> None:
    stage = a_full_cell(enable_backfill=False)
    first = unlike(stage, "first", 4, 10, priority=5)
    unlike(stage, "later", 4, 30)
    bound, placed = at(stage, 100, 2)
    assert bound.cursor is not None
    assert (bound.cursor.priority, placed) == (0, []), "all of the first were decided"
    stage.end_all("half-1")
    bound, placed = at(stage, 100, 1, bound)
    assert placed == [first[0]]
    assert bound.cursor is not None, "it is still the same round"
    assert bound.cursor.priority == 0


def test_a_job_behind_many_starts_though_others_never_cease_to_come_before_it() -> None:
    """Newcomers have half of a cycle at the most, so every round comes to its end."""
    stage = a_full_cell(enable_backfill=False)
    unlike(stage, "big", 8, 40, priority=1)
    stage.node("n3", gpus=1)
    stage.cordon("n3")
    stage.ask("last", 1)
    bound, placed, cycles = Bound(100), list[str](), 0
    while "last" not in placed:
        unlike(stage, f"new-{cycles}", 8, 20, priority=2)
        bound, placed = at(stage, 100, 1, bound)
        cycles += 1
        if cycles == 3:
            stage.uncordon("n3")
        assert cycles < 40


def test_a_held_start_is_kept_from_those_behind_the_cursor() -> None:
    """The first waits for the whole of a node; who would outlast that is no filler for it."""
    stage = Stage()
    stage.node("n1", gpus=8)
    stage.policy(enable_preemption=False)
    stage.ask("runs", 4, estimate_seconds=600)
    assert stage.run() == ["runs"]
    stage.ask("first", 8, priority=9, estimate_seconds=600)
    long = [stage.ask(f"long-{n}", 2, estimate_seconds=7200 + n) for n in range(10)]
    stage.ask("short", 2, estimate_seconds=300)
    starts = plan(stage.snapshot, stage.now).starts
    bound, placed, cycles = Bound(1), [], 0
    while True:
        made = stage.decide(Bound(1, bound.cursor))
        placed += [str(each.job) for each in made.placements]
        cycles += 1
        assert made.starts == starts, "in every cycle"
        bound = Bound(1, made.cursor)
        if made.cursor is None:
            break
    assert cycles > len(long)
    assert placed == ["short"]


def test_the_next_that_is_blocked_holds_a_start_once_the_first_has_started() -> None:
    """In the same round, though it was passed before: nobody behind takes what it waits for."""
    stage = a_full_cell()
    for name in ("runs", "half-1", "half-2"):
        stage.end_all(name)
    for name in ("a", "b"):
        stage.ask(name, 8, estimate_seconds=600)
    assert stage.run() == ["a", "b"]
    first = stage.ask("first", 8, priority=9, estimate_seconds=600)
    second = stage.ask("second", 8, priority=8, estimate_seconds=700)
    unlike(stage, "big", 8, 30)
    made = stage.decide(Bound(100))
    assert made.starts.keys() == {first}
    stage.end_all("a")
    made = stage.decide(Bound(100, made.cursor))
    assert [each.job for each in made.placements] == [first]
    assert made.starts.keys() == {second}


@pytest.mark.parametrize("order", [Order.PRIORITY, Order.FAIR_SHARE])
def test_a_large_cell_in_small_cycles_is_decided_the_same_by_boards(order: Order) -> None:
    """While jobs come and go, nodes fail and return, and rounds go on; in the end it is quiet."""
    draw = random.Random(f"rounds {order}")
    cell = Cell()
    policy = SchedulerSettings(backfill_depth=2, primary_policy=order)
    cell.record("policy/cell", [SchedulerSet(policy)])
    for number in range(70):
        cell.offer(large.offer(draw, number))
    bound, cut = WHOLE, 0
    for number in range(50):
        large.step(draw, cell, number)
        cell.conclude()
        bound = Bound(draw.choice((1, 30, 100, 300)), bound.cursor)
        made = plan(cell.snapshot, cell.now, bound)
        assert made == plan(replace(cell.snapshot, board_from=2**30), cell.now, bound)
        assert plan(unpack(pack(cell.snapshot)), cell.now, bound) == made
        cell.carry_out(made)
        for placement in made.placements:
            cell.start(placement.job)
        cut += made.cursor is not None
        bound = Bound(None, made.cursor)
    assert cut > 20
    cell.finish_leaving()
    cell.settle(200)
    whole = plan(cell.snapshot, cell.now)
    assert (whole.placements, whole.preemptions) == ([], [])
