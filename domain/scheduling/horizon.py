"""Horizon: what becomes free when, the starts held for blocked jobs, and what may fill the time."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge

from domain.allocation.allocation import Allocation
from domain.job.job import Job
from domain.scheduling.demand import Demand
from domain.scheduling.ends import expected_end
from domain.scheduling.place import place
from domain.scheduling.room import Found, Room, models_for
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.space import Space
from domain.scheduling.windows import Windows
from domain.values.ids import AllocationId, JobId, NodeId
from domain.values.time import SECOND

MOST_MOMENTS = 64
"""Moments tried for one held start where nodes are reserved."""


@dataclass(frozen=True)
class _Given:
    """Seats that were given away in this cycle."""

    found: Found
    demand: Demand


@dataclass(frozen=True)
class Hold:
    """A start planned for a blocked job; nothing may be placed that would delay it."""

    start: int
    job: JobId
    demand: Demand
    found: Found
    end: int | None


_Step = tuple[int, Allocation | Hold | _Given]
"""When something leaves, and what."""


class Horizon:
    """The holds of one cycle. A job that overruns is expected to run as long again."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._snapshot = snapshot
        self._now = now
        self.holds: list[Hold] = []
        self._given: list[tuple[int, _Given]] = []
        self._gone: set[JobId] = set()
        self._rooms: list[tuple[int, Room]] = []
        """By start of the hold: what is free then beside it, to be left to those that run on."""
        self._never: set[Demand] = set()
        """What does not fit even when all that is expected to leave has left."""
        self._windows: dict[tuple[int, int], tuple[Room, Room]] = {}
        """What of a room (by its `id`, and the room) is free beside so many of `_rooms` as well."""

    def hold(self, job: Job, demand: Demand, base: Room, windows: Windows) -> Hold | None:
        """Hold the job's earliest start beside the holds so far; None if none can be foreseen.

        `base` is what is free without any hold once jobs that were asked to leave have left. A
        start is not held where the job would run into a window.
        """
        found_steps = None if demand in self._never else self._until_it_fits(demand, base)
        if found_steps is None:
            self._never.add(demand)
            return None
        seconds, access = job.spec.expected_seconds, windows.access(job)
        for start, steps in self._moments(found_steps, windows):
            end = None if seconds is None else start + seconds * SECOND
            later = self._after(base, steps)
            found = place(demand, later.without(windows.kept(access, start, end)))
            if found is not None:
                break
        else:
            return None
        held = Hold(start, job.id, demand, found, end)
        self.holds.append(held)
        later.take(found.seats, demand)
        insort(self._rooms, (start, later), key=lambda pair: pair[0])
        self._windows.clear()
        return held

    def window(self, room: Room, end: int | None) -> Room:
        """What of `room` may be given to a job that leaves by `end`, None for nobody knows.

        Valid until something is taken. Whoever takes from `room` must tell `take` too.
        """
        before = sum(end is None or start < end for start, _ in self._rooms)
        if not before:
            return room
        key = (id(room), before)
        if key not in self._windows:
            window = room
            for _, later in self._rooms[:before]:
                window = window.least(later)
            self._windows[key] = (room, window)
        return self._windows[key][1]

    def not_counted_on(self, jobs: list[Job], end: int | None) -> list[Job]:
        """Those of the jobs with whose leaving no start is planned that is held before `end`."""
        counted = self.counted_until(end)
        if counted is None:
            return jobs
        leave = ((job, expected_end(job, self._now)) for job in jobs)
        return [job for job, leaves in leave if leaves is None or leaves > counted]

    def counted_until(self, end: int | None) -> int | None:
        """With who leaves by this time a start is planned that is held before `end`; None: none."""
        starts = [start for start, _ in self._rooms if end is None or start < end]
        return starts[-1] if starts else None

    def take(self, found: Found, demand: Demand, end: int | None) -> None:
        """Seats were given away until `end`: holds that start before have less beside them."""
        if end is not None:
            self._given.append((end, _Given(found, demand)))
        for start, later in self._rooms:
            if end is None or start < end:
                later.take(found.seats, demand)
        for (_, before), (room, window) in self._windows.items():
            for node in {seat.node for seat in found.seats}:
                window.put(node, self._least(node, room, before))

    def _least(self, node: NodeId, room: Room, before: int) -> Space | None:
        space = room.spaces.get(node)
        for _, later in self._rooms[:before]:
            there = later.spaces.get(node)
            if space is None or there is None:
                return None
            space = space.least(there)
        return space

    def release(self, victims: Iterable[Job]) -> None:
        """These were asked to leave for another: at every held start they will have left."""
        self._windows.clear()
        self._never.clear()
        for victim in victims:
            self._gone.add(victim.id)
            end = expected_end(victim, self._now)
            for start, later in self._rooms:
                if end is None or end > start:  # else it was counted as gone by then
                    later.give_back(self._snapshot.held_by(victim))

    def _steps(self) -> Iterator[_Step]:
        ends = [(hold.end, hold) for hold in self.holds if hold.end is not None]
        given = sorted(self._given, key=_when)
        return merge(self._releases(), given, sorted(ends, key=_when), key=_when)

    def _moments(
        self, found: list[_Step], windows: Windows
    ) -> Iterator[tuple[int, Sequence[_Step]]]:
        """The moments to try to start at, each with the steps taken by then.

        Where nothing is reserved the first one does: it fits after these steps. Else what leaves
        later may free nodes that are not kept, and a window that is over opens some: a bounded
        number of moments.
        """
        first = found[-1][0] if found else self._now
        yield first, found
        if windows.live:
            steps = list(self._steps())
            later = {at for at, _ in steps[len(found) : len(found) + MOST_MOMENTS]}
            for time in sorted(later | {*windows.openings(first)[:MOST_MOMENTS]}):
                yield time, steps[: bisect_right(steps, time, key=_when)]

    def _releases(self) -> Iterator[tuple[int, Allocation]]:
        """Allocations by their ends, without those that are counted as gone."""
        known = self._snapshot.allocations
        for end, name in merge(self._moving, self._snapshot.ends.later(self._now)):
            job = self._snapshot.jobs[known[name].job]
            if not job.leaves_for_another and job.id not in self._gone:
                yield end, known[name]

    @cached_property
    def _moving(self) -> list[tuple[int, AllocationId]]:
        """Ends that depend on when one asks, in order."""
        known, ends = self._snapshot.allocations, self._snapshot.ends
        found = []
        for name in [*ends.loose, *ends.late(self._now)]:
            job = self._snapshot.jobs[known[name].job]
            end = expected_end(job, self._now)
            if end is not None:
                found.append((end, name))
        return sorted(found)

    def _until_it_fits(self, demand: Demand, base: Room) -> list[_Step] | None:
        """The first steps after which the demand fits; None if all are not enough."""
        if base.board(demand) is not None:
            beside = self._after(base, []) if self.holds else base
            return _Sweep(demand, beside, base, self.holds).first(self._steps())
        steps = list(self._steps())
        number = self._first(
            len(steps), lambda n: place(demand, self._after(base, steps[:n])) is not None
        )
        return None if number is None else steps[:number]

    def _after(self, room: Room, steps: Sequence[_Step]) -> Room:
        """The room once these have left, beside the holds that have not."""
        after = room.fork()
        ended = [freed for _, freed in steps if isinstance(freed, Hold)]
        for _, freed in steps:
            _give_back(after, freed)
        for held in self.holds:  # last: some of what they will hold is only there now
            if held not in ended:
                after.take(held.found.seats, held.demand)
        return after

    @staticmethod
    def _first(steps: int, fits: Callable[[int], bool]) -> int | None:
        """The least number of steps that is enough; room only grows with them."""
        if not fits(steps):
            return None
        low, high = -1, steps
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        return high


class _Sweep:
    """Counts the seats of a simple demand while others leave one by one, only where they leave."""

    def __init__(self, demand: Demand, beside: Room, base: Room, holds: Sequence[Hold]) -> None:
        """`beside` is `base` beside the holds."""
        board = beside.board(demand)
        assert board is not None, "it was asked for"
        self._demand, self._board = demand, board
        self._models = models_for(demand, beside)
        self._counts = {model: board.usable(demand, model) for model in self._models}
        self._totals = {model: sum(self._counts[model].values()) for model in self._models}
        self._base, self._holds = base, list(holds)

    def first(self, steps: Iterable[_Step]) -> list[_Step] | None:
        """The first of these after which there are seats enough."""
        taken: list[_Step] = []
        if self._enough():
            return taken
        for step in steps:
            taken.append(step)
            freed = step[1]
            if isinstance(freed, Hold):
                self._holds.remove(freed)
            else:
                _give_back(self._room, freed)
            for node in _nodes(freed):
                self._recount(node)
            if self._enough():
                return taken
        return None

    @cached_property
    def _room(self) -> Room:
        """What is free once those have left that were taken so far."""
        return self._base.fork()

    def _enough(self) -> bool:
        return any(total >= self._demand.least for total in self._totals.values())

    def _recount(self, node: NodeId) -> None:
        if node not in self._room.spaces or not self._board.ground.may_use(self._demand, node):
            return
        space = self._room.spaces[node].copy()
        for hold in self._holds:
            for seat in hold.found.seats:
                if seat.node == node:
                    space.take(seat.devices, hold.demand.per_seat, hold.demand.where.exclusive)
        for model, counts in self._counts.items():
            count = space.count(self._demand, model)
            self._totals[model] += count - counts.get(node, 0)
            counts[node] = count


def _when(step: tuple[int, object]) -> int:
    return step[0]


def _give_back(room: Room, freed: Allocation | Hold | _Given) -> None:
    if isinstance(freed, Allocation):
        room.give_back(freed)
    elif isinstance(freed, _Given):
        room.give_back_seats(freed.found.seats, freed.demand)


def _nodes(freed: Allocation | Hold | _Given) -> set[NodeId]:
    seats = freed.seats if isinstance(freed, Allocation) else freed.found.seats
    return {seat.node for seat in seats}
