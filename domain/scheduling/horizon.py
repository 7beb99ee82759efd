"""Horizon: what becomes free when, the starts held for blocked jobs, and what may fill the time."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from domain.allocation.allocation import Allocation
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.policy.events import Score
from domain.scheduling.demand import Demand
from domain.scheduling.place import place
from domain.scheduling.room import Found, Room
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.windows import Windows
from domain.values.ids import JobId
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

    def __init__(self, snapshot: Snapshot, now: int, score: Score) -> None:
        self._snapshot = snapshot
        self._now = now
        self._score = score
        self.holds: list[Hold] = []
        self._given: list[tuple[int, _Given]] = []
        self._gone: set[JobId] = set()
        self._rooms: list[tuple[int, Room]] = []
        """By start of the hold: what is free then beside it, to be left to those that run on."""

    @cached_property
    def _releases(self) -> list[tuple[int, Allocation]]:
        found = []
        for allocation in self._snapshot.allocations.values():
            job = self._snapshot.jobs[allocation.job]
            end = expected_end(job, self._now)
            if end is not None and not leaves_for_another(job):  # `base` is without those
                found.append((end, allocation))
        return sorted(found, key=lambda pair: (pair[0], pair[1].id))

    def hold(self, job: Job, demand: Demand, base: Room, windows: Windows) -> Hold | None:
        """Hold the job's earliest start beside the holds so far; None if none can be foreseen.

        `base` is what is free without any hold once jobs that were asked to leave have left. A
        start is not held where the job would run into a window.
        """
        steps = self._steps()
        number = self._first(len(steps), lambda n: self._fits(demand, base, steps[:n]))
        if number is None:
            return None
        seconds, access = job.spec.expected_seconds, windows.access(job)
        for start, count in self._moments(steps, number, windows):
            end = None if seconds is None else start + seconds * SECOND
            later = self._after(base, steps[:count])
            open_then = later.without(windows.kept(access, start, end))
            found = place(demand, open_then, self._score)
            if found is not None:
                break
        else:
            return None
        held = Hold(start, job.id, demand, found, end)
        self.holds.append(held)
        later.take(found.seats, demand)
        insort(self._rooms, (start, later), key=lambda pair: pair[0])
        return held

    def window(self, room: Room, end: int | None) -> Room:
        """What of `room` may be given to a job that leaves by `end`, None for nobody knows."""
        for start, later in self._rooms:
            if end is None or start < end:
                room = room.least(later)
        return room

    def take(self, found: Found, demand: Demand, end: int | None) -> None:
        """Seats were given away until `end`: holds that start before have less beside them."""
        if end is not None:
            self._given.append((end, _Given(found, demand)))
        for start, later in self._rooms:
            if end is None or start < end:
                later.take(found.seats, demand)

    def release(self, victims: Iterable[Job]) -> None:
        """These were asked to leave for another: at every held start they will have left."""
        for victim in victims:
            assert victim.allocation is not None, "a victim is placed"
            self._gone.add(victim.id)
            end = expected_end(victim, self._now)
            for start, later in self._rooms:
                if end is None or end > start:  # else it was counted as gone by then
                    later.give_back(self._snapshot.allocations[victim.allocation])

    def _steps(self) -> list[_Step]:
        ends = [(hold.end, hold) for hold in self.holds if hold.end is not None]
        releases = [(end, a) for end, a in self._releases if a.job not in self._gone]
        return sorted([*releases, *self._given, *ends], key=lambda pair: pair[0])

    def _moments(
        self, steps: list[_Step], number: int, windows: Windows
    ) -> Iterator[tuple[int, int]]:
        """The moments to try to start at, each with how many steps were taken by then.

        Where nothing is reserved the first one does. Else what leaves later may free nodes that
        are not kept, and a window that is over opens some: a bounded number of moments.
        """
        first = steps[number - 1][0] if number else self._now
        yield first, number
        if windows.live:
            later = {at for at, _ in steps[number : number + MOST_MOMENTS]}
            at_step = [at for at, _ in steps]
            for time in sorted(later | {*windows.openings(first)[:MOST_MOMENTS]}):
                yield time, bisect_right(at_step, time)

    def _fits(self, demand: Demand, room: Room, steps: list[_Step]) -> bool:
        return place(demand, self._after(room, steps), self._score) is not None

    def _after(self, room: Room, steps: list[_Step]) -> Room:
        """The room once these have left, beside the holds that have not."""
        after = room.fork()
        ended = [freed for _, freed in steps if isinstance(freed, Hold)]
        for _, freed in steps:
            if isinstance(freed, Allocation):
                after.give_back(freed)
            elif isinstance(freed, _Given):
                after.give_back_seats(freed.found.seats, freed.demand)
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


def expected_end(job: Job, now: int) -> int | None:
    """When the job is expected to have left (microseconds), None if nothing is known."""
    if job.phase in (Phase.PREEMPTING, Phase.STOPPING):
        return max(now, job.stop_deadline or now)
    seconds = job.spec.expected_seconds
    if seconds is None:
        return None
    start = now if job.started_at is None else job.started_at
    end = start + seconds * SECOND
    while end <= now:
        end += max(SECOND, end - start)
    return end


def leaves_for_another(job: Job) -> bool:
    """Whether the job was preempted for a job; one that was cancelled since leaves all the same."""
    return job.preemptor is not None and job.phase in (Phase.PREEMPTING, Phase.STOPPING)
