"""Laws of moves: nobody ahead loses anything, nothing is given twice."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import event, given
from hypothesis import strategies as st

from domain.job.migration import Migration
from domain.job.transitions import Phase
from domain.policy.events import (
    Backfill,
    SchedulerSet,
    SchedulerSettings,
)
from domain.scheduling.plan import plan
from domain.values.ids import JobId
from tests.domain.scheduling.cell import STOPPED, Cell
from tests.domain.scheduling.ledger import Ledger
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.strategies import cells
from tests.domain.scheduling.test_board import without_board


def _ask_some(draw: st.DataObject, cell: Cell) -> list[JobId]:
    """Some running jobs are to move, some of them to a node that is named."""
    running = cell.in_phase(Phase.STARTING, Phase.RUNNING)
    movers = [job for job in running if draw.draw(st.booleans())]
    for job in movers:
        here = {seat.node for seat in cell.job(job).seats}
        others = [None, *sorted(cell.snapshot.nodes.keys() - here)]
        cell.migrate(job, draw.draw(st.sampled_from(others)))
    return movers


@given(cells(), st.data(), st.sampled_from(Backfill))
def test_with_a_board_or_without_moves_are_decided_the_same(
    cell: Cell, data: st.DataObject, backfill: Backfill
) -> None:
    cell.record("policy/cell", [SchedulerSet(SchedulerSettings(backfill=backfill))])
    _ask_some(data, cell)
    with_board = replace(cell.snapshot, board_from=0)
    made = plan(with_board, cell.now)
    if made.moves:
        event("moves")
    assert made == plan(without_board(cell.snapshot), cell.now)


@given(cells(), st.data())
def test_whoever_ranks_above_a_job_that_moves_is_decided_as_without_it(
    cell: Cell, data: st.DataObject
) -> None:
    """It takes nothing from them: no placement, no start that is held, and asks nobody to leave."""
    without = plan(cell.snapshot, cell.now)
    if not (movers := _ask_some(data, cell)):
        return
    made = plan(cell.snapshot, cell.now)
    first = min(_rank(cell, job) for job in movers)
    moved = {move.job for move in made.moves}
    event(f"moves: {bool(moved)}")

    def ahead(job: JobId) -> bool:
        return _rank(cell, job) < first

    for before, now in (
        ([p for p in without.placements if ahead(p.job)], made.placements),
        ([p for p in without.preemptions if ahead(p.preemptor)], made.preemptions),
    ):
        assert [each for each in now if each in before] == before
    starts = {job: at for job, at in without.starts.items() if ahead(job)}
    assert {job: at for job, at in made.starts.items() if ahead(job)} == starts
    if not moved:
        assert replace(made, stays=[], units=without.units) == without


@given(cells(), st.data())
def test_no_seat_is_given_twice_and_each_gets_those_kept_for_it(
    cell: Cell, data: st.DataObject
) -> None:
    _ask_some(data, cell)
    for _ in range(4):
        kept = {job: move.seats for job in cell.snapshot.migrating if (move := _move(cell, job))}
        left = {job for job in kept if cell.job(job).phase is Phase.QUEUED}
        made = cell.decide()
        placed = {placement.job: placement.seats for placement in made.placements}
        assert {job: placed.get(job) for job in left} == {job: kept[job] for job in left}
        ledger = Ledger(cell.snapshot)
        for job in sorted(cell.snapshot.migrating):
            if move := _move(cell, job):
                want = cell.job(job).spec.resources
                assert not {*move.leaves} & {seat.node for seat in move.seats}
                for seat in move.seats:
                    account = ledger.accounts[seat.node]
                    assert account.devices.keys() >= {*seat.devices}
                    account.take(seat, want)
                    assert account.cpu >= 0
                    assert account.memory >= 0
        for job in cell.in_phase(Phase.PREEMPTING):
            if data.draw(st.booleans()):
                cell.end(job, STOPPED)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=8), st.integers(1, 5))
def test_where_nodes_are_alike_a_move_keeps_nobody_waiting_once_they_left(
    asked: list[tuple[int, int]], nodes: int
) -> None:
    """Each job a priority, and a number: 0 for those that are to move if they run."""
    placed = []
    for moving in (False, True):
        stage = Stage()
        stage.policy(enable_preemption=False)
        for number in range(nodes):
            stage.node(f"n{number}", gpus=1)
        for number, (priority, _) in enumerate(asked[: nodes // 2 + 1]):
            stage.ask(f"first-{number}", priority=priority)
        stage.run()
        for number, (priority, _) in enumerate(asked[nodes // 2 + 1 :]):
            stage.ask(f"then-{number}", priority=priority)
        for number, (_, moves) in enumerate(asked[: nodes // 2 + 1] if moving else []):
            if moves == 0 and stage.job(f"first-{number}").phase is Phase.RUNNING:
                stage.migrate(f"first-{number}")
        stage.run()
        while stage.in_phase(Phase.PREEMPTING):
            stage.leave()
            stage.run()
        placed.append(stage.placed())
    assert placed[0] == placed[1]


def _move(cell: Cell, job: JobId) -> Migration | None:
    """The job's move, once seats are kept for it."""
    move = cell.job(job).migration
    return move if move is not None and move.seats else None


def _rank(cell: Cell, job: JobId) -> tuple[int, int, str]:
    state = cell.job(job)
    return (-state.priority, state.queued_since, state.id)
