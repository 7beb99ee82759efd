"""Orders of a queue: pure key functions over claims, the smallest key first."""

from __future__ import annotations

import math
from collections.abc import Callable
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


class Backlog:
    """When plain FIFO would start each job: the bound on how long the default may overtake it.

    A fluid FIFO that keeps `capacity` busy serves what came before first: a job is due when all
    of that would be done. No real FIFO is earlier, for it also loses to fragmentation. What is
    due goes first come, first served, so overtaking only reorders what FIFO makes wait anyhow.
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
