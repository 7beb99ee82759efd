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
from domain.scheduling.demand import demand_of
from domain.scheduling.fleet import leaving
from domain.scheduling.fleet.layout import SEAT
from domain.scheduling.holdout import hold_out
from domain.scheduling.plan import plan
from domain.scheduling.preempt import Candidates
from domain.scheduling.rank import Ranks
from domain.scheduling.roster import Rows
from domain.values.ids import DeviceId, JobId, NodeId, ProjectId
from domain.values.time import SECOND
from tests.domain.scheduling.cell import Cell
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
    draw, asked = random.Random("roster"), 0
    for _ in range(2):
        cell = crowded_cell(draw, 66)
        asked += sum(_cycle(draw, cell, number) for number in range(12))
    assert asked > 24


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
                    cell.end(victim)
        case 7 if job is not None:
            manifest = Manifest(0, "0" * 64, 1, 1, 1)
            saved = Committed(job, cell.job(job).attempt, 1, CheckpointCause.INTERVAL, manifest)
            cell.record(f"checkpoint/{job}", [saved])
        case 8 if job is not None:
            cell.record(f"job/{job}", jobs.set_priority(cell.job(job), draw.randint(0, 5)))
        case 9:
            _befall(draw, cell, node)
        case 10 if state.offer.devices:
            new = (replace(state.offer.devices[0], id=DeviceId(f"{node}-{name}")),)
            cell.offer(replace(state.offer, devices=new + state.offer.devices[1:]))
        case 11:
            cell.offer(a_node(draw, len(cell.snapshot.nodes)))
        case 12:
            _rule(draw, cell)
        case 13 if job is not None and draw.random() < 0.3:
            assert hold_out(cell.snapshot, StreamId(f"job/{job}"), 1)


def _befall(draw: random.Random, cell: Cell, node: NodeId) -> None:
    state = cell.snapshot.nodes[node].node
    match draw.randrange(4):
        case 0 if state.alive:
            cell.lose(node)
        case 1:
            cell.reboot(node)
        case 2 if not state.cordoned:
            cell.cordon(node)
        case 3 if state.cordoned:
            cell.uncordon(node)


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


@settings(max_examples=50)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 10**10), min_size=1, max_size=5))
def test_an_order_that_holds_until_then_does(draw: random.Random, waits: list[int]) -> None:
    """On a node the seats stand as candidates are sorted by objects, now and at later moments."""
    cell = crowded_cell(draw, 1, board_from=0)
    board = cell.snapshot.rooms.free(cell.snapshot).board(demand_of(ANY))
    assert board is not None
    for wait in [0, *waits]:
        cell.now += wait
        rows = cell.snapshot.roster.rows(cell.snapshot, board)
        assert rows.settle(cell.now)
        leaving.line_up(0, rows.spans, rows.order, rows.seats, rows.jobs, cell.now)
        found = Candidates(cell.snapshot, cell.now, Ranks(cell.snapshot, cell.now)).everyone
        assert list(dict.fromkeys(_on(rows))) == [job.id for job in found]


def _on(rows: Rows) -> list[JobId]:
    first, count = rows.spans[0], rows.spans[1]
    return [rows.names[rows.seats[seat * SEAT]] for seat in rows.order[first : first + count]]
