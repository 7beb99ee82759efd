"""Yields: whom of those that may be asked a simple demand asks, by rows of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from domain.job.job import Job
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.fleet.demand import MOST_MODELS
from domain.scheduling.fleet.layout import (
    COUNTED,
    FIRST,
    FROM,
    JOB,
    NONE,
    SEAT,
    SEATS,
    SPAN,
    STRIDE,
    WHERE,
    WHO,
    Ints,
)
from domain.scheduling.preempt import may_be_asked
from domain.scheduling.room import Room
from domain.scheduling.roster import Rows, Sort
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId
from domain.values.time import SECOND


class Yields:
    """Finds victims for simple demands at one moment, in rooms whose board has these nodes.

    Each demand asks some of the roster, in its order. The same as `find_victims` and `OneSeat` find
    by looking at jobs and spaces.
    """

    def __init__(self, snapshot: Snapshot, now: int, rows: Rows, board: Board) -> None:
        """`rows` are settled."""
        self._snapshot, self._now, self._rows = snapshot, now, rows
        self._cells, self._loops, self._held = board.cells, board.leaving, board.held
        self._out: dict[int | None, Ints] = {None: self._barred()}
        """Slots of those who are not asked, by the time until which who leaves is counted on."""
        nodes = len(rows.ids)
        self._scratch = self._cells.filled(nodes * STRIDE, 0)
        self._most = self._cells.filled(nodes, 0)
        self._able, self._counts = self._cells.filled(nodes, 0), self._cells.filled(nodes, 0)
        self._heap, self._heads, self._nexts = (self._cells.filled(nodes, 0) for _ in range(3))
        self._picked = self._cells.filled(len(rows.names), 0)
        self._nobody = self._cells.filled(0, 0)

    def _barred(self) -> Ints:
        """Those the rules on preemption let nobody ask."""
        rules, rows = self._snapshot.policy.scheduler.preemption, self._rows
        nobody = rules.max_preemptions == 0 or rules.max_per_hour == 0
        out = self._cells.filled(len(rows.names), int(nobody))
        if rules.min_runtime_seconds:
            since = self._now - rules.min_runtime_seconds * SECOND
            self._held.too_new(rows.jobs, len(rows.names), since, out)
        for name in self._snapshot.asked:
            slot = rows.slots.get(name)
            if slot is not None:
                victim = self._snapshot.jobs[name]
                out[slot] = int(not may_be_asked(self._snapshot, victim, self._now))
        return out

    def asked(self, victims: Iterable[JobId]) -> None:
        """These were asked to leave: nobody asks them again."""
        for victim in victims:
            slot = self._rows.slots.get(victim)  # one that moves need not be in the rows
            for out in self._out.values() if slot is not None else ():
                out[slot] = 1

    def out_by(self, counted: int | None) -> Ints:
        """Who is not asked where a start is planned with all who are expected to leave by then."""
        found = self._out.get(counted)
        if found is None:
            rows = self._rows
            found = self._out[counted] = self._out[None].copy()
            self._held.counted_on(rows.jobs, len(rows.names), self._now, counted, found)
        return found

    def find(
        self,
        demand: Demand,
        room: Room,
        board: Board,
        priority: int,
        counted: int | None,
        gives_way: Callable[[Sort], bool] | None = None,
    ) -> list[Job] | None:
        """Whom a job of this priority asks: of lower ones, and of its own the sorts that give way
        to it all the same; None if all do not help.

        Who is expected to leave by `counted` is not asked.
        """
        over = self._nobody
        if gives_way is not None:
            over = self._cells.of([int(gives_way(sort)) for sort in self._rows.sorts])
        base, allowed, row = board.rows_for(demand, room.spaces)
        below = priority if gives_way is None else priority + 1
        if not self._helps(demand, base, allowed, row, below):
            return None
        asked = priority, over, self.out_by(counted)
        if demand.replicas == 1:
            return self._one_seat(base, allowed, row, *asked)
        return self._gang(demand, base, allowed, row, *asked)

    def _helps(self, demand: Demand, base: Ints, allowed: Ints, row: Ints, below: int) -> bool:
        """Whether there would be seats enough once all below this priority had left; how many on
        each node goes into `_most`."""
        rows, totals = self._rows, self._cells.filled(MOST_MODELS, 0)
        self._loops.could(
            base, self._scratch, allowed, row, rows.seats, rows.jobs, rows.spans, rows.order,
            below, *rows.below(below), demand.replicas, self._most, totals,
        )  # fmt: skip
        return bool(self._loops.enough(row, totals, demand.least))

    def _one_seat(
        self, base: Ints, allowed: Ints, row: Ints, priority: int, over: Ints, out: Ints
    ) -> list[Job] | None:
        """The cheapest victims on any one node."""
        rows = self._rows
        last, node = self._loops.first(
            base, self._scratch, self._most, row, rows.seats, rows.jobs, rows.spans, rows.order,
            priority, over, out, rows.by_name, self._now,
        )  # fmt: skip
        if last == NONE:
            return None
        begin = int(rows.jobs[last * JOB + FROM])
        only = self._cells.filled(len(allowed), 0)
        for seat in range(begin, begin + int(rows.jobs[last * JOB + SEATS])):
            each = rows.seats[seat * SEAT + WHERE]
            only[each] = allowed[each]
        picked: list[int] = []
        begin = int(rows.spans[node * SPAN + FIRST])
        for n in range(begin, begin + int(rows.spans[node * SPAN + COUNTED])):
            other = int(rows.seats[rows.order[n] * SEAT + WHO])
            if other not in picked[-1:] and self._loops.asks(rows.jobs, other, priority, over, out):
                picked.append(other)
            if other == last:
                break
        return self._fewest(base, only, row, picked)

    def _gang(
        self, demand: Demand, base: Ints, allowed: Ints, row: Ints, priority: int, over: Ints,
        out: Ints,
    ) -> list[Job] | None:  # fmt: skip
        """Victims anywhere."""
        rows, picked = self._rows, self._picked
        totals = self._begin(base, allowed, row, demand.replicas)
        size = self._loops.gather(
            self._scratch, self._able, row, rows.seats, rows.jobs, rows.spans, rows.order,
            priority, over, out, self._now, demand.replicas, demand.least, self._counts, totals,
            self._heap, self._heads, self._nexts, picked,
        )  # fmt: skip
        if size == NONE:
            return None
        if not size and not self._held.anybody(rows.jobs, len(rows.names), priority, over, out):
            return None  # it fits, but who may ask nobody is helped by nobody
        return self._spare(row, picked, size, demand.replicas, demand.least, totals)

    def _fewest(self, base: Ints, allowed: Ints, row: Ints, picked: list[int]) -> list[Job]:
        """Those of the picked without whom there is no seat."""
        totals, found = self._begin(base, allowed, row, 1), self._cells.of(picked)
        self._loops.leave(
            self._scratch, self._able, row, self._rows.seats, self._rows.jobs, found,
            1, self._counts, totals,
        )  # fmt: skip
        return self._spare(row, found, len(picked), 1, 1, totals)

    def _begin(self, base: Ints, allowed: Ints, row: Ints, replicas: int) -> Ints:
        totals = self._cells.filled(MOST_MODELS, 0)
        self._loops.begin(
            base, self._scratch, allowed, self._able, row, replicas, self._counts, totals
        )
        return totals

    def _spare(
        self, row: Ints, picked: Ints, size: int, replicas: int, least: int, totals: Ints
    ) -> list[Job]:
        self._loops.spare(
            self._scratch, self._able, row, self._rows.seats, self._rows.jobs,
            picked, size, replicas, least, self._counts, totals,
        )  # fmt: skip
        names = (self._rows.names[picked[n]] for n in range(size) if picked[n] != NONE)
        return [self._snapshot.jobs[name] for name in names]
