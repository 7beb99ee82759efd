"""Orders of a queue: pure key functions over claims, the smallest key first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType

from domain.scheduling.profile import Amount


@dataclass(frozen=True)
class Claim:
    """A waiting job as an order sees it.

    `estimate` is how long it is expected to run, `submitted` when it came; both in the unit of
    the profile. `size` is how much it asks of its dominant resource. `due` is when it may no
    longer be overtaken (`Backlog`); None where nobody watches.
    """

    job: str
    amount: Amount
    estimate: int
    submitted: int
    size: int
    due: int | None = None

    @property
    def area(self) -> int:
        """Size times estimated time."""
        return self.size * max(self.estimate, 1)


Key = tuple[float, float, int, str]
"""Comparable; the last two parts make ties stable: who came first, then the name."""
Order = Callable[[Claim, int], Key]
"""The key of a claim at a time."""


def fcfs(claim: Claim, now: int) -> Key:  # noqa: ARG001 - an order is asked at a time
    """First come, first served."""
    return (0, 0, claim.submitted, claim.job)


def sjf(claim: Claim, now: int) -> Key:  # noqa: ARG001 - an order is asked at a time
    """Shortest estimate first."""
    return (0, claim.estimate, claim.submitted, claim.job)


def f1(claim: Claim, now: int) -> Key:  # noqa: ARG001 - an order is asked at a time
    """log10(estimate) size + 870 log10(submitted), 0.1 for what is not positive.

    Carastan-Santos and Camargo, SC'17, as DIR-LAB/deep-batch-scheduler computes it.
    """
    estimate, submitted = claim.estimate or 0.1, claim.submitted or 0.1
    score = math.log10(estimate) * claim.size + 870 * math.log10(submitted)
    return (0, score, claim.submitted, claim.job)


def saf(claim: Claim, now: int) -> Key:  # noqa: ARG001 - an order is asked at a time
    """Smallest area first."""
    return (0, claim.area, claim.submitted, claim.job)


def aged_area(claim: Claim, now: int) -> Key:
    """Smallest area first, the area divided by the slowdown suffered so far, 1 + wait/estimate.

    A claim that is past its `due` goes before all that are not, first come first served:
    nobody is overtaken for ever.
    """
    if claim.due is not None and now >= claim.due:
        return (0, 0, claim.submitted, claim.job)
    estimate = max(claim.estimate, 1)
    aged = claim.area * estimate / (estimate + max(now - claim.submitted, 0))
    return (1, aged, claim.submitted, claim.job)


ORDERS: MappingProxyType[str, Order] = MappingProxyType(
    {"fcfs": fcfs, "sjf": sjf, "f1": f1, "saf": saf, "default": aged_area}
)
"""Every order by its name."""


def in_order(claims: Iterable[Claim], order: Order, now: int, *, guard: bool) -> list[Claim]:
    """The claims by the order; with `guard` the one that came first goes before all.

    Under EASY the first blocked claim holds its start: guarded, nobody is overtaken for longer
    than until all that came before have started.
    """
    ordered = sorted(claims, key=lambda claim: order(claim, now))
    if guard and ordered:
        oldest = min(ordered, key=lambda claim: fcfs(claim, now))
        ordered.remove(oldest)
        ordered.insert(0, oldest)
    return ordered


class Backlog:
    """From when a job may no longer be overtaken: a fluid FIFO would have done all before it.

    The fluid keeps `capacity` busy and serves what came first. It is an estimate, no bound: a
    real FIFO may start a job earlier, beside those before it, or later, for what does not fit.
    What is due goes first come, first served.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._work = 0  # size times time that came and would not be done by `_at`
        self._at = 0

    def due(self, submitted: int, area: int) -> int:
        """When a job that comes now is due; `area` is counted for those after it."""
        self._work = max(self._work - (submitted - self._at) * self.capacity, 0)
        self._at = submitted
        found = submitted + self._work // self.capacity
        self._work += area
        return found
