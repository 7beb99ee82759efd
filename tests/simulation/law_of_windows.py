"""The law of windows: what is reserved, or down for works, is nobody else's meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from domain.allocation.allocation import Allocation
from domain.allocation.events import Granted
from domain.event import Recorded
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.node.node import Node, pool_of
from domain.reservation.events import Terms
from domain.reservation.reservation import Reservation, evolve
from domain.reservation.schedule import Schedule, Span
from domain.scheduling.events import Decided
from domain.values.time import SECOND
from tests.simulation.laws import Fail

LONGEST_GRACE = 15 * SECOND
Spot = tuple[int, Reservation]
"""A reservation as it was from a position of the log on."""


@dataclass
class LawOfWindows:
    """Knows reservations by position, and finds their windows one by one.

    `nodes` are the nodes as they were from each position on; `made` is when a reservation was last
    heard of, `grants` the position at which an allocation was granted.
    """

    fail: Fail
    nodes: Mapping[str, list[tuple[int, Node]]]
    known: dict[str, list[Spot]] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    grants: dict[str, int] = field(default_factory=dict)
    receipt: Decided | None = None

    def copy(self, nodes: Mapping[str, list[tuple[int, Node]]]) -> LawOfWindows:
        """What a standby knows."""
        known = {name: list(spots) for name, spots in self.known.items()}
        return LawOfWindows(
            self.fail, nodes, known, dict(self.made), dict(self.grants), self.receipt
        )

    def recorded(self, item: Recorded) -> None:
        """An event of a reservation, or of the receipts."""
        if isinstance(item.event, Decided):
            self.receipt = item.event
            return
        name, spots = item.stream.partition("/")[2], self.known
        before = spots[name][-1][1] if name in spots else None
        after = evolve(before, item.event)  # type: ignore[arg-type]  # of its stream
        spots.setdefault(name, []).append((item.position, after))
        self.made[name] = item.recorded_at

    def granted(self, event: Granted, job: Job, position: int) -> None:
        """A grant runs into no window that is not for its job, nor out of one that is."""
        self.grants[event.allocation] = position
        receipt = self.receipt
        assert receipt is not None, "a receipt leads each decision"
        if receipt.held_out:
            return
        now, seconds = receipt.now, job.spec.expected_seconds
        end = None if seconds is None else now + seconds * SECOND
        mine = {str(seat.node) for seat in event.seats}
        for one in self._standing(receipt.read):
            admitted = admits(one.terms, job)
            for span in _spans(one.terms.schedule, now):
                if admitted:
                    wrong = end is not None and span[1] < end
                else:
                    silent = now + one.terms.notice_seconds * SECOND + 1
                    wrong = span[0] < (silent if end is None else end)
                if wrong and self._keeps(one, span, mine, receipt.read):
                    text = f"{event.allocation} of {sorted(mine)} runs into {one.name} {span}"
                    self.fail("I12", text, job.id)
                break  # who is gone by the first touches no later one

    def decided(self, jobs: Mapping[str, Job], held: Mapping[str, Allocation]) -> None:
        """Once a step was decided, whatever a window keeps from its job was asked to leave."""
        receipt = self.receipt
        if receipt is None or receipt.held_out or receipt.part < receipt.parts:
            return
        for one in self._standing(receipt.read):
            for span in _spans(one.terms.schedule, receipt.now):
                if span[0] <= receipt.now:
                    for allocation in _others(one.terms, jobs, held):
                        if self.grants[allocation.id] <= receipt.read:
                            text = f"{allocation.id} was not asked to leave for {one.name} {span}"
                            self.fail("I12", text, allocation.job)
                break

    def under_way(self, now: int, slack: int) -> Iterator[tuple[Terms, str]]:
        """Nodes by name that are kept now, and were for so long after all had time to leave."""
        for one in self._standing(2**62):
            for span in _spans(one.terms.schedule, now):
                told = self.made[one.name] + LONGEST_GRACE
                if max(span[0], told) + slack <= now:
                    yield from ((one.terms, str(node)) for node in one.terms.nodes)
                break

    def _standing(self, read: int) -> list[Reservation]:
        """The reservations that stood at a position."""
        found = []
        for spots in self.known.values():
            before = [one for position, one in spots if position <= read]
            if before and not before[-1].cancelled:
                found.append(before[-1])
        return found

    def _keeps(self, one: Reservation, span: Span, mine: set[str], read: int) -> bool:
        """Whether the window has one of these nodes, or too few GPUs without them."""
        terms = one.terms
        if terms.nodes:
            return not mine.isdisjoint(terms.nodes)
        free = {}
        for name, states in self.nodes.items():
            node = next((state for at, state in reversed(states) if at <= read), None)
            if node is None or not node.alive or node.cordoned:
                continue
            if terms.pool in ("", pool_of(node.offer)):
                models = [d.model for d in node.offer.devices if not d.mig]
                free[name] = models.count(terms.gpu_type) if terms.gpu_type else len(models)
        for other in self._standing(read):
            theirs = next(_spans(other.terms.schedule, span[0]), None)
            if theirs is not None and theirs[0] < span[1]:
                for node_id in other.terms.nodes:
                    free.pop(str(node_id), None)
        left = sum(count for name, count in free.items() if name not in mine)
        return left < terms.gpus and any(free.get(name) for name in mine)


def _others(
    terms: Terms, jobs: Mapping[str, Job], held: Mapping[str, Allocation]
) -> Iterator[Allocation]:
    """What runs on the nodes that terms name, and has not been asked to end."""
    for allocation in held.values():
        if allocation.released:
            continue
        job = jobs[allocation.job]
        if (
            any(seat.node in terms.nodes for seat in allocation.seats)
            and job.phase in (Phase.STARTING, Phase.RUNNING)
            and not admits(terms, job)
        ):
            yield allocation


def admits(terms: Terms, job: Job) -> bool:
    named = job.id in terms.jobs or job.submitted_by in terms.users
    return named or job.spec.project in terms.projects


def _spans(schedule: Schedule, after: int) -> Iterator[Span]:
    """Its windows that end after the moment, one after the other from its first on."""
    start, length = schedule.start, schedule.seconds * SECOND
    while schedule.until is None or start < schedule.until:
        if start + length > after:
            yield start, start + length
        if schedule.every_seconds is None:
            return
        start += schedule.every_seconds * SECOND
