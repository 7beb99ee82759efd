"""By rows or by looking at jobs and spaces: the same are asked to make room."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.policy.events import PreemptionRules, SchedulerSet
from domain.scheduling.demand import Demand, demand_of
from domain.scheduling.one_seat import OneSeat
from domain.scheduling.place import place
from domain.scheduling.plan import plan
from domain.scheduling.preempt import Candidates, find_victims, room_without
from domain.scheduling.rank import Ranks
from domain.scheduling.room import Room
from domain.scheduling.yields import Yields
from domain.values.ids import JobId, ProjectId
from domain.values.time import SECOND
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.crowded import asking_job, crowded_cell, settings_of

NEVER = 2**30
SIZES = {"plain": (9, 4000, 60), "compiled": (66, 250, 12)}
"""Nodes, of which 64 are served by compiled loops, searches compared, and cycles."""


@pytest.mark.parametrize("size", SIZES)
def test_the_same_victims_are_found_while_others_leave(size: str) -> None:
    nodes, searches, _ = SIZES[size]
    draw = random.Random(f"yields {size}")
    done = helped = 0
    while done < searches:
        cell = crowded_cell(draw, nodes)
        found = _Search(cell)
        for _ in range(25):
            helped += found.compare(draw)
            done += 1
    assert helped > searches // 8


@pytest.mark.parametrize("size", SIZES)
def test_whole_cycles_are_decided_the_same(size: str) -> None:
    """With holds, limits on preemption, leavers and promises, from cycle to cycle."""
    draw = random.Random(f"cycles {size}")
    nodes, _, rounds = SIZES[size]
    asked, cell = 0, crowded_cell(draw, nodes, board_from=0)
    for number in range(rounds):
        if number % 6 == 0:
            cell = crowded_cell(draw, nodes, board_from=0)
            rules = PreemptionRules(priority_threshold=draw.choice((0, 1)), max_preemptions=3)
            depth = draw.choice((0, 1, 4))
            cell.record("policy/cell", [SchedulerSet(settings_of(rules, depth))])
        cell.now += draw.randint(1, 300) * SECOND
        for each in range(12):
            cell.submit(f"more-{number}-{each}", asking_job(draw))
        by_rows = plan(cell.snapshot, cell.now)
        assert by_rows == plan(replace(cell.snapshot, board_from=NEVER), cell.now)
        asked += len(by_rows.preemptions)
        cell.carry_out(by_rows)
        for placement in by_rows.placements:
            cell.start(placement.job)
        for job in sorted(cell.snapshot.leaving):
            if draw.random() < 0.6:
                cell.end(job)
    assert asked > rounds


class _Search:
    """The two ways to search, in rooms that are kept alike."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.snapshot = cell, cell.snapshot
        with_board = replace(cell.snapshot, board_from=0)
        plain = replace(cell.snapshot, board_from=NEVER)
        self.rooms = [each.rooms.free(each).fork() for each in (with_board, plain)]
        self.candidates = Candidates(self.snapshot, cell.now, Ranks(self.snapshot, cell.now))
        board = self.rooms[0].board(demand_of(JobSpec("x", ProjectId("ml"), ("x",))))
        assert board is not None
        rows = self.snapshot.roster.rows(self.snapshot, board)
        assert rows.settle(cell.now)
        self.yields = Yields(self.snapshot, cell.now, rows, board)
        self.asked: set[JobId] = set()

    def compare(self, draw: random.Random) -> bool:
        """One search both ways, and who was found leaves; whether anybody was."""
        name = JobId(f"asks-{draw.random()}")
        spec = replace(asking_job(draw), min_replicas=None)
        job = Job(name, spec, "ada", Phase.QUEUED, spec.priority)
        demand = demand_of(spec)
        board = self.rooms[0].board(demand)
        assert board is not None, "the demand is simple"
        able = self.candidates.of(job, self.asked)
        if place(demand, self.rooms[1]) is not None:
            return False
        if demand.replicas == 1:
            expected = OneSeat(self.snapshot, demand, self.rooms[1], able).victims()
        else:
            expected = find_victims(self.snapshot, demand, self.rooms[1], able) if able else None
        found = self.yields.find(demand, self.rooms[0], board, job.priority, None)
        assert found == expected
        if found:
            self._leave(draw, found, demand)
        return bool(found)

    def _leave(self, draw: random.Random, victims: list[Job], demand: Demand) -> None:
        self._fits_only_without_all(victims, demand)
        self.yields.asked([victim.id for victim in victims])
        self.asked |= {victim.id for victim in victims}
        for room in self.rooms:
            for victim in victims:
                room.give_back(self.snapshot.held_by(victim))
        kept = place(demand, self.rooms[1])
        assert kept is not None
        assert kept == place(demand, self.rooms[0])
        if draw.random() < 0.8:
            for room in self.rooms:
                room.take(kept.seats, demand)

    def _fits_only_without_all(self, victims: list[Job], demand: Demand) -> None:
        """Put any victim back and it does not fit."""
        for back in victims:
            room: Room = self.rooms[0].fork()
            for victim in victims:
                if victim is not back:
                    room.give_back(self.snapshot.held_by(victim))
            assert place(demand, room) is None, back.id


def test_what_is_free_later_is_what_is_free_once_all_have_left_one_by_one() -> None:
    draw = random.Random("later")
    cell, left = crowded_cell(draw, 9), 0
    for number in range(12):
        for each in range(6):
            cell.submit(f"more-{number}-{each}", asking_job(draw))
        for placement in cell.decide().placements:
            cell.start(placement.job)
        snapshot = cell.snapshot
        leaving = [cell.job(job) for job in sorted(snapshot.leaving)]
        later = room_without(snapshot, snapshot.rooms.free(snapshot), leaving)
        assert snapshot.rooms.later(snapshot).spaces == later.spaces
        left += len(leaving)
        for job in leaving:
            if draw.random() < 0.4:
                cell.end(job.id)
    assert left
