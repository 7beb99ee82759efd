"""Asking: who is asked in a cycle to make room, for whom, and who cannot be helped."""

from __future__ import annotations

from collections import Counter

from domain.job.job import Job
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.horizon import Horizon
from domain.scheduling.one_seat import OneSeat
from domain.scheduling.place import place
from domain.scheduling.preempt import Candidates, find_victims, may_preempt
from domain.scheduling.rank import Ranks
from domain.scheduling.room import Found, Room, count_seats
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.yields import Yields
from domain.values.ids import JobId


class Asking:
    """Chooses victims one preemptor after the other; nobody is asked twice."""

    def __init__(self, snapshot: Snapshot, now: int, ranks: Ranks, horizon: Horizon) -> None:
        self._snapshot, self._now, self._horizon = snapshot, now, horizon
        self._candidates = Candidates(snapshot, now, ranks)
        self._asked: set[JobId] = set()
        self._asked_below = 0
        """All that were asked are of a lower priority."""
        self._made = Counter[str]()
        """How many the jobs of each project made leave."""
        self._searches: dict[tuple[Demand, int], OneSeat] = {}
        self._yields: Yields | None = None
        self._countable = True
        """Whether rows can tell who may be asked, as far as known."""
        self._given: list[tuple[Found, Demand]] = []
        self._below: dict[int, tuple[Room, int]] = {}
        """By priority: what is there without all that may be asked, beside so many of `_given`."""

    def victims(self, job: Job, demand: Demand, end: int | None, room: Room) -> list[Job] | None:
        """Those to ask so that the job's demand fits into the room until `end`.

        None if nobody can help, or the job's project made as many leave as it may.
        """
        if not self._may(job, 1) or not self._can_be_helped(job, demand, room):
            return None
        if demand.replicas == 1 and demand.simple and place(demand, room) is not None:
            return []  # those asked for others leave more than these take
        found = self._find(job, demand, end, room) if self._candidates.may_ask(job) else None
        return found if found is not None and self._may(job, len(found)) else None

    def _find(self, job: Job, demand: Demand, end: int | None, room: Room) -> list[Job] | None:
        board = room.board(demand)
        yields = None if board is None else self._rows(board)
        if board is not None and yields is not None:
            return self._by_rows(job, demand, end, room, board, yields)
        if demand.replicas == 1 and demand.simple:
            return self._for_one_seat(job, demand, end, room)
        able = self._able(job, end)
        return find_victims(self._snapshot, demand, room, able) if able else None

    def note(self, job: Job, victims: list[Job]) -> None:
        """These were asked to leave for the job, and the room has what they held."""
        self._made[job.spec.project] += len(victims)
        self.left(victims)

    def has_asked(self, job: JobId) -> bool:
        """Whether the job was asked to leave in this cycle."""
        return job in self._asked

    def left(self, victims: list[Job]) -> None:
        """These were asked to leave, and the room has what they held: nobody asks them again."""
        for victim in victims:
            self._asked.add(victim.id)
            self._asked_below = max(self._asked_below, victim.priority + 1)
        for search in self._searches.values():
            search.left(victims)
        if self._yields is not None:
            self._yields.asked([victim.id for victim in victims])

    def took(self, found: Found, demand: Demand) -> None:
        """Seats were given away in this cycle, or kept for a job."""
        self._given.append((found, demand))

    def _may(self, job: Job, victims: int) -> bool:
        made = self._made[job.spec.project] + victims
        return may_preempt(self._snapshot, job, made, self._now)

    def _can_be_helped(self, job: Job, demand: Demand, room: Room) -> bool:
        """False if the demand would not fit if all had left that may be asked: soon found out."""
        if room.board(demand) is not None:
            return True  # rows tell it as soon
        if not demand.simple or self._candidates.differ or self._asked_below > job.priority:
            return True
        if job.priority <= 0:
            return True  # nobody is below it: that is found out sooner yet
        if job.priority < self._snapshot.policy.scheduler.preemption.priority_threshold:
            return False
        return count_seats(demand, self._room_below(job.priority)) >= demand.least

    def _room_below(self, priority: int) -> Room:
        room, seen = self._below.get(priority, (None, 0))
        if room is None:
            room = self._snapshot.rooms.below(self._snapshot, priority).fork()
        for found, demand in self._given[seen:]:
            room.take(found.seats, demand)
        self._below[priority] = (room, len(self._given))
        return room

    def _rows(self, board: Board) -> Yields | None:
        """Who may be asked, by rows; None where rows cannot tell."""
        if self._countable and self._yields is None:
            rows = self._snapshot.roster.rows(self._snapshot, board)
            self._countable = rows.settle(self._now)
            if self._countable:
                self._yields = Yields(self._snapshot, self._now, rows, board)
                self._yields.asked(self._asked)
        return self._yields

    def _by_rows(
        self, job: Job, demand: Demand, end: int | None, room: Room, board: Board, yields: Yields
    ) -> list[Job] | None:
        over = self._candidates.over_share(job) if self._candidates.differ else None
        counted = self._horizon.counted_until(end)
        return yields.find(demand, room, board, job.priority, counted, over)

    def _for_one_seat(
        self, job: Job, demand: Demand, end: int | None, room: Room
    ) -> list[Job] | None:
        key = (demand, job.priority)
        search = self._searches.get(key)
        if search is None or search.room is not room or self._candidates.differ:
            search = OneSeat(self._snapshot, demand, room, self._able(job, end))
            self._searches[key] = search
        return search.victims()

    def _able(self, job: Job, end: int | None) -> list[Job]:
        """Those that may be asked: with nobody's leaving a start is planned that is held."""
        return self._horizon.not_counted_on(self._candidates.of(job, self._asked), end)
