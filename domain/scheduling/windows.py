"""Windows: which nodes reservations and maintenance keep from whom, and when.

1. a job that is not admitted may be on a kept node only if it is gone by the window's start;
2. one whose length nobody knows is not started there from the notice before a window on;
3. one that is admitted must be gone by the window's end, where its length is known.
Only the first window of each reservation that is not over at a job's start matters: whoever is
gone by its start touches no later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.job.job import Job
from domain.node.node import pool_of
from domain.reservation.events import Terms
from domain.reservation.reservation import Reservation
from domain.reservation.schedule import Span
from domain.scheduling.lines import Line, Lines, Place
from domain.scheduling.room import Room
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, NodeId
from domain.values.time import SECOND

Access = frozenset[str]
"""The names of the reservations that admit a job."""
NOBODY: Access = frozenset()
_NOWHERE = frozenset[NodeId]()


def admits(terms: Terms, job: Job) -> bool:
    """Whether the job may use what is kept."""
    return (
        job.spec.project in terms.projects
        or job.submitted_by in terms.users
        or job.id in terms.jobs
    )


class Windows:
    """What the reservations of a snapshot keep; those made earlier choose their nodes first."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._snapshot = snapshot
        self._all = [r for r in snapshot.reservations.values() if not r.cancelled]
        self.live = [r for r in self._all if not r.is_over(now)]
        self._named = {r.name: frozenset(r.terms.nodes) for r in self._all if r.terms.nodes}
        self._chosen: dict[tuple[str, Span], frozenset[NodeId]] = {}
        self._kept: dict[tuple[Access, int, int | None], frozenset[NodeId]] = {}

    def access(self, job: Job) -> Access:
        """The reservations that admit the job."""
        if not self.live:
            return NOBODY
        return frozenset(r.name for r in self.live if admits(r.terms, job))

    def named(self, job: JobId) -> Access:
        """The reservations that admit the job by its id."""
        return frozenset(r.name for r in self.live if job in r.terms.jobs)

    def kept(self, access: Access, start: int, end: int | None) -> frozenset[NodeId]:
        """The nodes on which a job from `start` to before `end` (None: nobody knows) may not be."""
        if not self.live:
            return _NOWHERE
        key = (access, start, end)
        if key not in self._kept:
            closed = frozenset[NodeId]()
            for number, one in enumerate(self.live):
                span = one.terms.schedule.next_after(start)
                if span is not None and _in_the_way(one, access, span, start, end):
                    closed |= self.nodes(number, span)
            self._kept[key] = closed
        return self._kept[key]

    def under_way(self, job: Job, moment: int) -> frozenset[NodeId]:
        """The nodes that a window under way at the moment keeps from the job."""
        found = frozenset[NodeId]()
        for number, one in enumerate(self.live):
            span = one.terms.schedule.next_after(moment)
            if span is not None and span[0] <= moment and not admits(one.terms, job):
                found |= self.nodes(number, span)
        return found

    def openings(self, after: int) -> list[int]:
        """The moments after this one at which the next window of each reservation is over."""
        spans = (one.terms.schedule.next_after(after) for one in self.live)
        return sorted({span[1] for span in spans if span is not None})

    def nodes(self, number: int, span: Span) -> frozenset[NodeId]:
        """The nodes a reservation (by its number in `live`) keeps in one of its windows."""
        return self._nodes(self.live[number], span)

    def _nodes(self, one: Reservation, span: Span) -> frozenset[NodeId]:
        if one.terms.nodes:
            return self._named[one.name]
        key = (one.name, span)
        if key not in self._chosen:
            self._chosen[key] = self._choose(one, span)
        return self._chosen[key]

    def _choose(self, one: Reservation, span: Span) -> frozenset[NodeId]:
        """Whole nodes with enough GPUs, the largest first, then the smallest that is enough.

        Of equal ones the last by name. Never those that an overlapping window has, by name or by an
        earlier choice, also where that window is over by now. What runs there has no say. So the
        choice stays as it is while nodes do.
        """
        terms, taken, earlier = one.terms, set[NodeId](), True
        for other in self._all:
            if other.name == one.name:
                earlier = False
            elif other.terms.nodes or earlier:
                for theirs in self._touching(other, span):
                    taken |= self._nodes(other, theirs)
        counts = {n: count for n, count in self._gpus(terms) if n not in taken}
        left = sorted(counts, key=lambda n: (counts[n], n))
        need, found = terms.gpus, list[NodeId]()
        while left and counts[left[-1]] < need:
            found.append(left.pop())
            need -= counts[found[-1]]
        enough = [n for n in left if counts[n] >= need]
        found += [n for n in enough if counts[n] == counts[enough[0]]][-1:]
        return frozenset(found)

    @staticmethod
    def _touching(one: Reservation, span: Span) -> list[Span]:
        if one.terms.nodes:  # always the same ones: whether it touches is enough
            first = one.terms.schedule.next_after(span[0])
            return [first] if first is not None and first[0] < span[1] else []
        return one.terms.schedule.touching(*span)

    def _gpus(self, terms: Terms) -> Iterator[tuple[NodeId, int]]:
        for name, state in self._snapshot.nodes.items():
            offer = state.node.offer
            if not state.takes_work or (terms.pool and pool_of(offer) != terms.pool):
                continue
            models = [d.model for d in offer.devices if not d.mig]
            count = models.count(terms.gpu_type) if terms.gpu_type else len(models)
            if count:
                yield name, count


def _in_the_way(one: Reservation, access: Access, span: Span, start: int, end: int | None) -> bool:
    """Whether a job from start to end runs into the window, or out of it if it is admitted."""
    if one.name in access:
        return end is not None and span[1] < end
    known = start + one.terms.notice_seconds * SECOND + 1 if end is None else end
    return span[0] < known


class Opened:
    """Rooms without the nodes kept from some, made once each and kept in step until cleared."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[int, frozenset[NodeId]], tuple[Room, Room]] = {}
        """By `id` of a room and what is kept: that room, and what is open of it."""

    def of(self, room: Room, kept: frozenset[NodeId]) -> Room:
        """The room without what is kept; whoever changes `room` must tell `changed`."""
        if not kept:
            return room
        key = (id(room), kept)
        if key not in self._rooms:
            self._rooms[key] = (room, room.without(kept))
        return self._rooms[key][1]

    def changed(self, nodes: Iterable[NodeId]) -> None:
        """The nodes have something else left."""
        told = set(nodes)
        for (_, kept), (room, opened) in self._rooms.items():
            for node in told - kept:
                opened.put(node, room.spaces.get(node))

    def clear(self) -> None:
        """Other rooms take the place of these."""
        self._rooms.clear()


def split(lines: Lines, windows: Windows) -> Iterator[Line]:
    """The lines, those apart in which reservations admit some jobs by their id and others not.

    What is true of the first of a line must be true of all behind it.
    """
    named = {job for one in windows.live for job in one.terms.jobs if job in lines.of_job}
    mixed = {lines.of_job[job][0] for job in named}
    for key, line in lines.by_key.items():
        if key not in mixed:
            yield line
            continue
        parts: dict[Access, list[Place]] = {}
        for place in line.places:
            parts.setdefault(windows.named(place[1]), []).append(place)
        for places in parts.values():
            jobs = {job for _, job in places}
            told = {kind: both for kind, known in line.told.items() if (both := known & jobs)}
            yield Line(key, places, told)
