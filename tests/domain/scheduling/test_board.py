"""With a board of rows or node by node: the same snapshot is decided the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.job.spec import JobSpec
from domain.job.where import Scope, Where
from domain.node.events import Registered
from domain.policy.events import Backfill, SchedulerSet, SchedulerSettings, Score
from domain.scheduling.plan import plan
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, JobId, NodeId
from domain.values.resources import Resources
from domain.values.time import SECOND
from domain.values.topology import Device, Location
from tests.domain.examples import GIB
from tests.domain.scheduling import drawn
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.strategies import cells

NEVER = 2**30
STEPS = 400


def without_board(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, board_from=NEVER)


@given(cells(), st.sampled_from(Score), st.sampled_from(Backfill))
def test_small_cells_are_decided_the_same(cell: Cell, score: Score, backfill: Backfill) -> None:
    settings = SchedulerSettings(score=score, backfill=backfill)
    cell.record("policy/cell", [SchedulerSet(settings)])
    with_board = replace(cell.snapshot, board_from=0)
    assert plan(with_board, cell.now) == plan(without_board(cell.snapshot), cell.now)


@pytest.mark.parametrize("score", Score)
def test_a_large_cell_is_decided_the_same_while_it_changes(score: Score) -> None:
    """Compiled, and kept from cycle to cycle, while jobs come and go and nodes fail and return."""
    draw = random.Random(f"board {score}")
    cell = Cell()
    cell.record("policy/cell", [SchedulerSet(SchedulerSettings(score=score, backfill_depth=3))])
    for number in range(70):
        cell.offer(offer(draw, number))
    for number in range(STEPS):
        step(draw, cell, number)
        if number % 4 == 0:
            cell.conclude()
            expected = plan(without_board(cell.snapshot), cell.now)
            made = plan(cell.snapshot, cell.now)
            assert made == expected
            cell.carry_out(made)
            for placement in made.placements:
                cell.start(placement.job)
    assert cell.snapshot.allocations


def offer(draw: random.Random, number: int) -> Registered:
    gpus, model = draw.choice((0, 4, 8)), draw.choice(("A100", "H100"))
    if number == 69:
        gpus = 24  # more than a row holds
    devices = tuple(
        Device(DeviceId(f"n{number}-{n}"), model, 80 * GIB, f"island-{n // 4}", n // 2)
        for n in range(gpus)
    )
    capacity = Resources(32_000, 256 * GIB, gpus * 1000, 1000, 1000)
    location = Location(draw.choice(("", f"rack-{number // 8}")), f"spine-{number // 32}")
    labels = (("zone", draw.choice("ab")),)
    return Registered(
        NodeId(f"n{number}"), "boot", capacity, devices, ("sandbox",), "", location, labels
    )


def _spec(draw: random.Random) -> JobSpec:
    gpu = draw.choice((0, 250, 300, 500, 1000, 1000, 2000, 4000, 8000, 20_000))
    resources = Resources(
        draw.choice((500, 1000, 4000, 8000)), draw.randint(1, 32) * GIB, gpu, draw.choice((0, 300))
    )
    priority = draw.choice((0, 0, 0, 50))
    spec = drawn.job(draw, "walk", resources, priority, (None, 60, 600, 3600))
    where = Where(
        selector=draw.choice(((), (), (("zone", "a"),))),
        together=draw.choice((None, None, Scope.NODE, Scope.RACK)) if spec.replicas > 1 else None,
    )
    return replace(spec, where=where)


def step(draw: random.Random, cell: Cell, number: int) -> None:
    cell.now += draw.randint(1, 60) * SECOND
    for each in range(draw.randint(0, 6)):
        cell.submit(f"job-{number}-{each}", _spec(draw))
    cell.finish_leaving()
    running = sorted({a.job for a in cell.snapshot.allocations.values()})
    for job in draw.sample(running, min(len(running), draw.randint(0, 4))):
        cell.end(JobId(job))
    node = f"n{draw.randrange(70)}"
    state = cell.snapshot.nodes[NodeId(node)].node
    fate = draw.randrange(8)
    cell.befall(node, fate)
    match fate:
        case 4:
            cell.offer(replace(state.offer, labels=(("zone", draw.choice("ab")),)))
        case 5 if state.offer.devices:
            fewer = state.offer.devices[1:]
            capacity = replace(state.offer.capacity, gpu_milli=1000 * len(fewer))
            cell.offer(replace(state.offer, devices=fewer, capacity=capacity))
    cell.conclude()
