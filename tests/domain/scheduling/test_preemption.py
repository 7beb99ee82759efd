"""Who has to make room, for whom, and that the room is kept."""

from __future__ import annotations

import pytest
from hypothesis import event, given

from domain.job.transitions import Phase
from domain.scheduling.asking import Asking
from domain.scheduling.made import Plan
from domain.scheduling.plan import plan
from domain.scheduling.reason import WaitCode
from domain.values.ids import JobId
from domain.values.time import SECOND
from tests.domain.scheduling.cell import STOPPED, Cell, order_key
from tests.domain.scheduling.ledger import Ledger
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.strategies import cells


@given(cells())
def test_victims_run_with_strictly_lower_priority_and_are_asked_once(cell: Cell) -> None:
    made = plan(cell.snapshot, cell.now)
    victims = [preemption.victim for preemption in made.preemptions]
    assert len(set(victims)) == len(victims)
    for preemption in made.preemptions:
        victim, preemptor = cell.job(preemption.victim), cell.job(preemption.preemptor)
        assert victim.phase in (Phase.STARTING, Phase.RUNNING)
        assert victim.priority < preemptor.priority
    told = {wait.job: wait.reason.code for wait in made.waits}
    assert {told[p.preemptor] for p in made.preemptions} <= {WaitCode.PREEMPTING}


@given(cells())
def test_nobody_is_asked_where_preemption_is_off(cell: Cell) -> None:
    cell.set_preemption(False)
    assert plan(cell.snapshot, cell.now).preemptions == []


def room_of_first(cell: Cell, made: Plan, preemptor: JobId, gone: set[JobId]) -> Ledger:
    """The nodes at the turn of the first job that preempts, once those in `gone` have left."""
    ledger = Ledger(cell.snapshot, gone)
    for placement in made.placements:
        other = cell.job(placement.job)
        if order_key(other) < order_key(cell.job(preemptor)):
            ledger.take(placement.seats, other.spec.resources)
    return ledger


@given(cells(fresh=True, quotas=False))
def test_victims_are_enough_and_none_is_one_too_many(cell: Cell) -> None:
    made = plan(cell.snapshot, cell.now)
    if not made.preemptions:
        return
    event("preempts")
    first = made.preemptions[0].preemptor
    spec = cell.job(first).spec
    victims = {p.victim for p in made.preemptions if p.preemptor == first}
    assert room_of_first(cell, made, first, victims).fits(spec)
    for spared in victims:
        assert not room_of_first(cell, made, first, victims - {spared}).fits(spec), spared


@given(cells(fresh=True, quotas=False))
def test_the_least_important_make_room(cell: Cell) -> None:
    """No victim of some priority where those below it would have been enough."""
    made = plan(cell.snapshot, cell.now)
    if not made.preemptions:
        return
    first = made.preemptions[0].preemptor
    worst = max(cell.job(p.victim).priority for p in made.preemptions if p.preemptor == first)
    below = {
        job.id
        for job in cell.snapshot.jobs.values()
        if job.phase in (Phase.STARTING, Phase.RUNNING) and job.priority < worst
    }
    assert not room_of_first(cell, made, first, below).fits(cell.job(first).spec)


@given(cells())
def test_nobody_is_given_up_who_could_be_helped(cell: Cell) -> None:
    """What tells soon who cannot be helped changes no decision, in any cycle of several."""
    for _ in range(3):
        soon = plan(cell.snapshot, cell.now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Asking, "_can_be_helped", lambda *_: True)
            assert plan(cell.snapshot, cell.now) == soon
        cell.decide()
        for victim in cell.in_phase(Phase.PREEMPTING)[:1]:
            cell.end(victim, STOPPED)


@given(cells(fresh=True, quotas=False))
def test_the_room_made_is_kept_for_those_it_was_made_for(cell: Cell) -> None:
    made = cell.decide()
    promised = {preemption.preemptor for preemption in made.preemptions}
    cell.finish_leaving()
    assert promised <= {placement.job for placement in cell.decide().placements}


@given(cells(fresh=True, quotas=False))
def test_the_room_made_is_kept_while_victims_leave_one_by_one(cell: Cell) -> None:
    """Whoever it was made for asks nobody else; others may, where a drained gang left a node."""
    made = cell.decide()
    promised = {preemption.preemptor for preemption in made.preemptions}
    placed: set[JobId] = set()
    for victim in cell.in_phase(Phase.PREEMPTING, Phase.STOPPING):
        cell.end(victim)
        step = cell.decide()
        assert promised.isdisjoint(preemption.preemptor for preemption in step.preemptions)
        placed |= {placement.job for placement in step.placements}
    assert promised <= placed


@given(cells())
def test_preemption_comes_to_rest(cell: Cell) -> None:
    """No loop of asking, leaving and placing again: with nothing new, decisions cease."""
    rounds = 0
    while True:
        made = cell.decide()
        leaving = cell.in_phase(Phase.PREEMPTING, Phase.STOPPING)
        if not (made.placements or made.preemptions or leaving):
            break
        for job in leaving:
            cell.end(job, STOPPED)
        rounds += 1
        assert rounds <= 2 * (1 + len(cell.snapshot.jobs)), cell
    event(f"{rounds} rounds")


def test_who_waits_for_room_that_is_made_is_told_so_once() -> None:
    """Also where one like it came before and is held: else both are told in turns, for ever."""
    cell = Stage()
    cell.node("n", 1)
    cell.ask("low", estimate_seconds=60)
    assert cell.run() == ["low"]
    cell.pass_time(10)
    cell.ask("high", priority=9, estimate_seconds=60)
    assert cell.run() == []
    cell.now -= 5 * SECOND
    cell.ask("first", priority=9, estimate_seconds=60)
    cell.pass_time(5)
    for _ in range(2):
        assert cell.run() == []
        told = len(cell.log)
    assert cell.run() == []
    assert len(cell.log) == told
    assert cell.why("high").code is WaitCode.PREEMPTING
    assert cell.why("first").code is WaitCode.INSUFFICIENT_GPU
