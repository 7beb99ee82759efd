"""The simulator's engine over nodes of whole GPUs: gangs are placed node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.trace import TraceJob
from domain.scheduling.order import ORDERS, Backlog, Claim

Seats = dict[int, int]
"""GPUs by node."""


class GangEngine:
    """`nodes` of `per_node` GPUs. A gang takes the fullest node it fits, or whole nodes and a rest.

    `fill` False stops at the first that does not fit. Else the nodes that it will get are marked
    with the time it gets them, and others go there only if they end by then.
    `bounded` bounds overtaking: who came first is the one that holds, and every claim is due by
    `Backlog`.
    """

    def __init__(
        self, nodes: int, order: str, *, fill: bool, bounded: bool = False, per_node: int = 8
    ) -> None:
        self.per_node = per_node
        self.free = [per_node] * nodes
        self.order = ORDERS[order]
        self.in_turn = order == "fcfs"  # `waiting` is in that order already
        self.oldest_first = bounded or self.in_turn
        self.fill = fill
        self.backlog = Backlog(nodes * per_node) if bounded else None
        self.waiting: dict[str, Claim] = {}
        self.jobs: dict[str, TraceJob] = {}
        self.running: dict[str, tuple[int, Seats]] = {}
        self.asked = [0] * (per_node + 1)  # seats that arrived, of so many GPUs or more

    def arrive(self, job: TraceJob) -> None:
        if job.size > self.per_node * len(self.free):
            raise SystemExit(f"job {job.name} asks for {job.size} GPUs: give more --nodes")
        area = job.size * max(job.estimate, 1)
        due = self.backlog.due(job.submitted, area) if self.backlog else None
        claim = Claim(job.name, job.amount, job.estimate, job.submitted, job.size, due)
        self.jobs[job.name], self.waiting[job.name] = job, claim
        whole, rest = divmod(job.size, self.per_node)
        for gpus in range(self.per_node + 1):
            self.asked[gpus] += whole + (0 < gpus <= rest)

    def finish(self, job: TraceJob, now: int) -> None:  # noqa: ARG002 - the port tells the time
        for node, gpus in self.running.pop(job.name)[1].items():
            self.free[node] += gpus

    def decide(self, now: int) -> Iterable[tuple[TraceJob, str]]:
        started = []
        while self.waiting and any(self.free):
            head = self._head(now)
            seats = fit(self.free, head.size, self.per_node)
            if seats is None:
                if self.fill:
                    started += self._fill(head, now)
                break
            started.append(self._start(head, seats, now))
        return [(job, "start") for job in started]

    def idle(self) -> tuple[int, float]:
        """GPUs that are free, and what of them seats of the usual sizes cannot use."""
        lost, asked = 0, self.asked
        for free, nodes in Counter(self.free).items():
            larger = asked[free + 1] if free < self.per_node else 0
            lost += free * nodes * larger
        return sum(self.free), lost / max(1, asked[1])

    def _head(self, now: int) -> Claim:
        if self.oldest_first:
            return next(iter(self.waiting.values()))
        return min(self.waiting.values(), key=lambda claim: self.order(claim, now))

    def _sorted(self, claims: list[Claim], now: int) -> list[Claim]:
        return claims if self.in_turn else sorted(claims, key=lambda c: self.order(c, now))

    def _fill(self, head: Claim, now: int) -> list[TraceJob]:
        shadow, kept = self._hold(head, now)
        left = sum(self.free)
        others = [claim for claim in self.waiting.values() if claim.size <= left]
        started = []
        for claim in self._sorted(others, now):
            if claim is head or claim.size > left:
                continue
            seats = fit(self.free, claim.size, self.per_node, kept)
            if seats is None and now + claim.estimate <= shadow:
                seats = fit(self.free, claim.size, self.per_node)
            if seats is not None:
                started.append(self._start(claim, seats, now))
                left -= claim.size
                if not left:
                    break
        return started

    def _hold(self, head: Claim, now: int) -> tuple[int, frozenset[int]]:
        """When the head fits as the running jobs end, and the nodes it then gets."""
        free = self.free.copy()
        for until, seats in sorted(self.running.values(), key=lambda run: run[0]):
            for node, gpus in seats.items():
                free[node] += gpus
            found = fit(free, head.size, self.per_node)
            if found is not None:
                return max(until, now + 1), frozenset(found)
        raise AssertionError("an empty cluster fits every job that was let in")

    def _start(self, claim: Claim, seats: Seats, now: int) -> TraceJob:
        for node, gpus in seats.items():
            self.free[node] -= gpus
        del self.waiting[claim.job]
        self.running[claim.job] = (now + claim.estimate, seats)
        return self.jobs.pop(claim.job)


def fit(
    free: list[int], gpus: int, per_node: int, kept: frozenset[int] = frozenset()
) -> Seats | None:
    """Seats for a gang outside `kept`, or None: whole nodes, and the rest on the fullest that fits.

    Ties fall to the first node.
    """
    whole, rest = divmod(gpus, per_node)
    seats: Seats = {}
    if whole:
        empty = [n for n, left in enumerate(free) if left == per_node and n not in kept]
        if len(empty) < whole:
            return None
        seats = dict.fromkeys(empty[:whole], per_node)
    if rest:
        best = -1
        for node, left in enumerate(free):
            if left >= rest and node not in kept and node not in seats:
                if best < 0 or left < free[best]:
                    best = node
                if left == rest:
                    break
        if best < 0:
            return None
        seats[best] = rest
    return seats
