"""Who comes first, and that nothing but the snapshot decides it."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from domain.job.spec import JobSpec
from domain.scheduling.plan import plan
from domain.scheduling.reason import WaitCode
from tests.domain.scheduling.cell import Cell, order_key
from tests.domain.scheduling.ledger import Ledger
from tests.domain.scheduling.strategies import cells, shuffled


@given(cells(), st.randoms(use_true_random=False))
def test_the_plan_depends_on_what_is_known_not_on_how_it_is_kept(cell: Cell, luck: Random) -> None:
    made = plan(cell.snapshot, cell.now)
    assert plan(cell.snapshot, cell.now) == made
    assert plan(shuffled(cell.snapshot, luck.shuffle), cell.now) == made


@given(cells())
def test_decisions_follow_priority_and_then_the_time_in_the_queue(cell: Cell) -> None:
    made = plan(cell.snapshot, cell.now)
    jobs = [placement.job for placement in made.placements]
    assert jobs == sorted(jobs, key=lambda j: order_key(cell.job(j)))


@given(cells())
def test_a_job_never_waits_for_what_one_behind_it_was_given(cell: Cell) -> None:
    """Jobs behind a waiting job may start, but never with a demand that covers its own."""
    made = plan(cell.snapshot, cell.now)
    for wait in made.waits:
        if wait.reason.code is WaitCode.OVER_QUOTA:
            continue
        job = cell.job(wait.job)
        for placement in made.placements:
            other = cell.job(placement.job)
            if order_key(other) > order_key(job):
                assert not covers(other.spec, job.spec)


def covers(large: JobSpec, small: JobSpec) -> bool:
    """Whether `small` fits wherever `large` does."""
    return (
        small.resources.fits(large.resources)
        and small.replicas <= large.replicas
        and (small.image is None) == (large.image is None)
        and (
            not small.resources.gpu_milli
            or not small.gpu_types
            or (bool(large.gpu_types) and set(large.gpu_types) <= set(small.gpu_types))
        )
    )


@given(cells(fresh=True))
def test_a_job_waits_only_if_it_fits_into_nothing_those_ahead_left(cell: Cell) -> None:
    """Without reservations the promise is exact: free, less what those ahead were given."""
    made = plan(cell.snapshot, cell.now)
    for wait in made.waits:
        if wait.reason.code is WaitCode.PREEMPTING:
            return
        if wait.reason.code is WaitCode.OVER_QUOTA:
            continue
        job = cell.job(wait.job)
        left = Ledger(cell.snapshot)
        for placement in made.placements:
            other = cell.job(placement.job)
            if order_key(other) < order_key(job):
                left.take(placement.seats, other.spec.resources)
        assert not left.fits(job.spec)


@given(cells())
def test_a_plan_carried_out_leaves_nothing_to_decide(cell: Cell) -> None:
    cell.carry_out(plan(cell.snapshot, cell.now))
    again = plan(cell.snapshot, cell.now)
    assert again.placements == []
    assert again.preemptions == []


@given(cells())
def test_a_plan_carried_out_changes_no_reason(cell: Cell) -> None:
    """Else every waiting job would be told two reasons whenever room is freed and taken."""
    first = plan(cell.snapshot, cell.now)
    cell.carry_out(first)
    told = {wait.job: wait.reason for wait in first.waits}
    for wait in plan(cell.snapshot, cell.now).waits:
        assert wait.reason.kind == told[wait.job].kind
