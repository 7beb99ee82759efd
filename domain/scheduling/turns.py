"""Turns: which line of the queue is decided next in a cycle, and where a bounded cycle stops."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush
from operator import le

from domain.scheduling.bound import Cursor, Kept
from domain.scheduling.demand import Demand
from domain.scheduling.lines import Line
from domain.scheduling.rank import Rank, Ranks
from domain.scheduling.room import Room
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, NodeId

_Entry = tuple[Rank, int, Line]
"""A line at its job with this number."""


class Turns:
    """Lines by rank. With a cursor first those before it that must be looked at again.

    1. Before the cursor: whoever has room kept or holds a start, always, so that nothing behind
       takes it; for half of the units whoever was never told anything, may fit where something came
       free, or may hold a start since one that did is gone. The others were decided in this round
       and have their turn in the next.
    2. From the cursor on everybody until the units are spent, for half of them at the least.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        ranks: Ranks,
        lines: Iterable[Line],
        cursor: Cursor | None,
        holds: Collection[JobId],
        free: Room,
    ) -> None:
        """As the cycle goes on, `holds` are those that hold a start, and `free` is what was not
        given away. Ranks are as they were when the cursor was set."""
        self._snapshot, self._ranks, self._cursor, self._holds = snapshot, ranks, cursor, holds
        self._held = frozenset(() if cursor is None else cursor.held)
        self.charged = frozenset(() if cursor is None else (kept.job for kept in cursor.kept))
        """Those for whom room is kept, whom ranks know to have it."""
        if cursor is not None and ranks.moves:
            for kept in cursor.kept:
                if kept.job in snapshot.lines.of_job:
                    job = snapshot.jobs[kept.job]
                    ranks.charge(job, snapshot.inheritance.of(job).user, kept.seats)
        self._from = None if cursor is None else ranks.at(cursor)
        self._gone = len(self._held - snapshot.lines.of_job.keys())
        """So many that held a start hold none now, less those that came to hold one."""
        self._freed = Freed(snapshot, free, snapshot.position if cursor is None else cursor.read)
        self._before: list[_Entry] = []
        self._behind: list[_Entry] = []
        for line in lines:
            rank = ranks.of(line, 0)
            self._heap(rank, line.places[0][1]).append((rank, 0, line))
        heapify(self._before)
        heapify(self._behind)
        self.spent = 0
        """Units of work so far."""
        self._enough: int | None = None
        """The cycle stops when so many units are spent; None until one from the cursor on had its
        turn."""
        self._last: JobId | None = None
        self._missed = False
        """Whether the units did not suffice for all before the cursor."""
        self._kept: list[Kept] = []
        self.stopped: Cursor | None = None
        """Where the next cycle goes on; None at the end of the queue."""

    @property
    def left(self) -> int:
        """How many lines may have a turn yet, or would in a longer cycle."""
        return len(self._before) + len(self._behind) + (self.stopped is not None)

    def next(self, units: int | None) -> tuple[Line, int] | None:
        """The next line and the number of its job; None at the end of the queue or the units."""
        self._count_holds()
        while self._before:
            line, number = self._pop(self._before)
            if self._goes_again(line, number, units):
                self._last = line.places[number][1]
                return line, number
        if not self._behind:
            return None
        if units is not None and self._enough is None:
            self._enough = max(units, self.spent + max(1, units // 2))
        elif self._enough is not None and self.spent >= self._enough:
            self._stop()
            return None
        return self._pop(self._behind)

    def again(self, line: Line, number: int) -> None:
        """The line's job with this number is next in its line."""
        rank = self._ranks.of(line, number)
        heappush(self._heap(rank, line.places[number][1]), (rank, number, line))

    def keep(self, job: JobId, seats: int) -> None:
        """Room is kept for so many seats of the job that had its turn."""
        self._kept.append(Kept(job, seats))

    def stop(self) -> None:
        """The cycle is over, for another reason than its units: a round under way goes on here."""
        if self._before:
            self.stopped = self._cursor
        elif self._cursor is not None:
            self._stop()

    def took(self, nodes: Iterable[NodeId]) -> None:
        """There is less left on these nodes."""
        self._freed.took(nodes)

    def _stop(self) -> None:
        line, number = self._pop(self._behind)
        key, (since, job) = line.key, line.places[number]
        read = self._snapshot.position
        if self._missed and self._cursor is not None:
            read = self._cursor.read
        self.stopped = Cursor(
            job,
            since,
            key.project,
            key.user,
            key.priority,
            key.expected_seconds,
            key.deadline,
            read,
            tuple(self._kept),
            tuple(self._holds),
        )

    def _heap(self, rank: Rank, job: JobId) -> list[_Entry]:
        before = self._from is not None and rank < self._from
        return self._before if before or self._keeps(job) else self._behind

    def _keeps(self, job: JobId) -> bool:
        return job in self.charged or job in self._held

    def _pop(self, heap: list[_Entry]) -> tuple[Line, int]:
        """The first by the ranks as they are now: what was given away meanwhile counts."""
        while True:
            rank, number, line = heappop(heap)
            if self._ranks.moves and (moved := self._ranks.of(line, number)) > rank:
                heappush(heap, (moved, number, line))
                continue
            return line, number

    def _goes_again(self, line: Line, number: int, units: int | None) -> bool:
        """Whether one from before the cursor may be decided otherwise than in this round, and there
        are units left for it."""
        job = line.places[number][1]
        if self._keeps(job):
            return True
        told = self._snapshot.jobs[job].waiting is not None
        if told and self._gone <= 0 and not self._freed.may_take(line.key.demand):
            return False
        left = units is None or self.spent < units // 2
        self._missed |= not left
        return left

    def _count_holds(self) -> None:
        if self._last is not None:
            self._gone += (self._last in self._held) - (self._last in self._holds)
            self._last = None


class Freed:
    """What is left on nodes on which something came free after a position of the log."""

    def __init__(self, snapshot: Snapshot, free: Room, after: int) -> None:
        """Whoever takes from `free` must tell `took`."""
        self._free = free
        self._nodes = {node for node, at in snapshot.freed.items() if at > after}
        self._most: tuple[int, ...] | None = None

    def may_take(self, demand: Demand) -> bool:
        """False if there is room for no seat: soon found out, by the most that each has left."""
        if self._most is None:
            spaces = self._free.spaces
            left = [spaces[node].free for node in self._nodes if node in spaces]
            amounts = [
                (r.cpu_milli, r.memory_bytes, r.storage_bytes, r.network_mbps, r.gpu_milli)
                for r in left
            ]
            self._most = tuple(max(each) for each in zip(*amounts, strict=True))
        want = demand.per_seat
        gpu_milli = 0 if demand.mig else want.gpu_milli  # instances are not counted in thousandths
        asked = want.cpu_milli, want.memory_bytes, want.storage_bytes, want.network_mbps, gpu_milli
        return bool(self._most) and all(map(le, asked, self._most))

    def took(self, nodes: Iterable[NodeId]) -> None:
        """There is less left on these."""
        if not self._nodes.isdisjoint(nodes):
            self._most = None
