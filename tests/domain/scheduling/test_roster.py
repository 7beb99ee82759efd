"""Rows of those that may be asked, kept between cycles: the same is decided as with new ones."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from domain.checkpoint.events import CheckpointCause, Committed, Manifest
from domain.event import StreamId
from domain.job import job as jobs
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.policy.events import Order, PreemptionRules, SchedulerSet
from domain.scheduling.board import Board
from domain.scheduling.demand import demand_of
from domain.scheduling.ends import expected_end
from domain.scheduling.fleet import leaving
from domain.scheduling.fleet.demand import MOST_MODELS
from domain.scheduling.fleet.layout import COUNTED, FIRST, SEAT, SPAN, STRIDE, TAKES, WHO
from domain.scheduling.holdout import hold_out
from domain.scheduling.plan import plan
from domain.scheduling.preempt import Candidates
from domain.scheduling.rank import Ranks
from domain.scheduling.room import Room
from domain.scheduling.roster import Rows, prepare
from domain.scheduling.yields import Yields
from domain.values.ids import DeviceId, ProjectId
from domain.values.time import SECOND
from tests.domain.scheduling.cell import STOPPED, Cell
from tests.domain.scheduling.crowded import (
    a_node,
    asking_job,
    crowded_cell,
    settings_of,
    small_job,
)

OBJECTS = 2**30
ANY = JobSpec("any", ProjectId("ml"), ("true",))


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_small_cells_are_decided_the_same_after_any_history(
    draw: random.Random, nodes: int
) -> None:
    """By kept rows, by new ones and by objects: in plain Python."""
    cell = crowded_cell(draw, nodes, board_from=0)
    asked = sum(_cycle(draw, cell, number) for number in range(8))
    event(f"asked {min(asked, 10)}")


def test_a_large_cell_is_decided_the_same_after_any_history() -> None:
    """Likewise by compiled loops."""
    draw = random.Random("roster")
    cell = crowded_cell(draw, 66)
    assert sum(_cycle(draw, cell, number) for number in range(12)) > 12


def _cycle(draw: random.Random, cell: Cell, number: int) -> int:
    """Something happens, a cycle is planned in three ways and carried out; how many were asked."""
    for each in range(draw.randint(1, 4)):
        _happen(draw, cell, f"{number}-{each}")
        cell.conclude()
    cell.now += draw.choice((0, 1, 60, 3600)) * SECOND
    made = plan(cell.snapshot, cell.now)
    assert made == plan(replace(cell.snapshot), cell.now)
    assert made == plan(replace(cell.snapshot, board_from=OBJECTS), cell.now)
    cell.carry_out(made)
    for placement in made.placements:
        if draw.random() < 0.8:
            cell.start(placement.job)
    return len(made.preemptions)


def _happen(draw: random.Random, cell: Cell, name: str) -> None:
    placed = cell.in_phase(Phase.STARTING, Phase.RUNNING)
    job = draw.choice(placed) if placed else None
    node = draw.choice(sorted(cell.snapshot.nodes))
    state = cell.snapshot.nodes[node].node
    match draw.randrange(14):
        case 0 | 1 | 2 | 3:
            for each in range(draw.randint(1, 3)):
                cell.submit(f"asks-{name}-{each}", asking_job(draw))
        case 4:
            cell.submit(f"small-{name}", small_job(draw))
        case 5 if job is not None:
            cell.end(job)
        case 6:
            for victim in cell.in_phase(Phase.PREEMPTING):
                if draw.random() < 0.6:
                    cell.end(victim, STOPPED)
        case 7 if job is not None:
            manifest = Manifest(0, "0" * 64, 1, 1, 1)
            saved = Committed(job, cell.job(job).attempt, 1, CheckpointCause.INTERVAL, manifest)
            cell.record(f"checkpoint/{job}", [saved])
        case 8 if job is not None:
            cell.record(f"job/{job}", jobs.set_priority(cell.job(job), draw.randint(0, 5)))
        case 9:
            cell.befall(node, draw.randrange(4))
        case 10 if state.offer.devices:
            new = (replace(state.offer.devices[0], id=DeviceId(f"{node}-{name}")),)
            cell.offer(replace(state.offer, devices=new + state.offer.devices[1:]))
        case 11:
            cell.offer(a_node(draw, len(cell.snapshot.nodes)))
        case 12:
            _rule(draw, cell)
        case 13 if job is not None and draw.random() < 0.3:
            assert hold_out(cell.snapshot, StreamId(f"job/{job}"), 1)


def _rule(draw: random.Random, cell: Cell) -> None:
    rules = PreemptionRules(
        priority_threshold=draw.choice((0, 0, 2)),
        max_preemptions=draw.choice((None, None, 0, 1, 3)),
        max_per_hour=draw.choice((None, None, 0, 1)),
        min_runtime_seconds=draw.choice((0, 0, 30)),
        cooldown_seconds=draw.choice((0, 0, 60)),
        over_share=draw.random() < 0.4,
    )
    chosen = settings_of(rules, draw.choice((0, 1, 4)))
    first, second = draw.choice((Order.PRIORITY, Order.FAIR_SHARE)), draw.choice((*Order,))
    chosen = replace(chosen, primary_policy=first, secondary_policy=second)
    cell.record("policy/cell", [SchedulerSet(chosen)])


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_rows_say_what_objects_do_after_any_history(seed: int) -> None:
    """Who may be asked, in which order on each node, and what they give back there."""
    draw = random.Random(seed)
    waits = [draw.choice((0, 1, SECOND, 60 * SECOND, draw.randrange(10**10))) for _ in range(8)]
    cell = crowded_cell(draw, draw.randint(1, 3), board_from=0)
    for number, wait in enumerate(waits):
        cell.now += wait
        room = cell.snapshot.rooms.free(cell.snapshot)
        board = room.board(demand_of(ANY))
        assert board is not None, "there are nodes"
        rows, fresh = cell.snapshot.roster.rows(cell.snapshot, board), Rows(board)
        for held in cell.snapshot.allocations.values():
            fresh.put(cell.snapshot, held.job)
        assert rows.settle(cell.now)
        assert fresh.settle(cell.now)
        _compare(cell, rows, board)
        for priority in (1, 3):
            assert _given_back(rows, room, priority) == _given_back(fresh, room, priority)
        for each in range(draw.randint(0, 4)):
            _happen(draw, cell, f"{number}-{each}")
            cell.conclude()
        for placement in cell.decide().placements:
            cell.start(placement.job)


def test_rows_are_kept_when_a_node_joins() -> None:
    """By plain and by compiled loops; a snapshot that is prepared has them at hand."""
    for nodes, board_from in ((3, 0), (66, 64)):
        draw = random.Random(f"joins {nodes}")
        cell = crowded_cell(draw, nodes, board_from)
        prepare(cell.snapshot)
        rows = _rows(cell)
        assert rows.slots
        for number in range(20):
            cell.offer(a_node(draw, nodes + number))
            made = plan(cell.snapshot, cell.now)
            assert made == plan(replace(cell.snapshot), cell.now)
            cell.carry_out(made)
            cell.submit(f"asks-{number}", asking_job(draw))
        assert _rows(cell) is rows
        assert len(rows.ids) == nodes + 20


def _rows(cell: Cell) -> Rows:
    board = cell.snapshot.rooms.free(cell.snapshot).board(demand_of(ANY))
    assert board is not None, "there are nodes enough"
    return cell.snapshot.roster.rows(cell.snapshot, board)


def _compare(cell: Cell, rows: Rows, board: Board) -> None:
    snapshot, now = cell.snapshot, cell.now
    found = Candidates(snapshot, now, Ranks(snapshot, now)).everyone
    yields, until = Yields(snapshot, now, rows, board), now + 200 * SECOND
    out, gone = yields.out_by(None), yields.out_by(until)
    assert {name for name, slot in rows.slots.items() if not out[slot]} == {j.id for j in found}
    ends = {job.id: expected_end(job, now) for job in found}
    assert {name for name in ends if not gone[rows.slots[name]]} == {
        name for name, end in ends.items() if end is None or end > until
    }
    for number, node in enumerate(rows.ids):
        leaving.line_up(number, rows.spans, rows.order, rows.seats, rows.jobs, now)
        first = rows.spans[number * SPAN + FIRST]
        seats = rows.order[first : first + rows.spans[number * SPAN + COUNTED]]
        slots = dict.fromkeys(rows.seats[seat * SEAT + WHO] for seat in seats)
        on = [job.id for job in found if node in {seat.node for seat in job.seats}]
        assert [rows.names[slot] for slot in slots if not out[slot]] == on


def _given_back(rows: Rows, room: Room, priority: int) -> list[int]:
    """What all below the priority give back, node by node."""
    board = room.board(demand_of(ANY))
    assert board is not None, "there are nodes"
    base, allowed, row = board.rows_for(demand_of(ANY), room.spaces)
    scratch, most, totals = list(base), [0] * len(allowed), [0] * MOST_MODELS
    more, seen = rows.below(priority)
    leaving.could(
        base, scratch, [1] * len(allowed), row, rows.seats, rows.jobs, rows.spans, rows.order,
        priority, more, seen, 1, most, totals,
    )  # fmt: skip
    return [
        cell
        for node in range(len(allowed))
        if base[node * STRIDE + TAKES]
        for cell in more[node * STRIDE : (node + 1) * STRIDE]
    ]
