"""Pace: the time that a cycle may take as units of work, by how long the last ones took."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST = 10_000.0
"""Units of work a second, before any were measured."""
SLOWEST, FASTEST = 500.0, 10_000_000.0
CHANGE = 2.0
"""One cycle counts as no more than so many times faster or slower: the first compiles loops."""
ENOUGH = 200
"""A cycle of fewer units measures nothing."""
SHARE = 4
"""However long it takes to prepare a cycle, this part of the budget is for decisions."""


class Measured:
    """Units of work from seconds, by a clock that never goes back."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._rate = FIRST
        self._began = self._prepared = clock()

    def begin(self) -> None:
        """A cycle begins."""
        self._began = self._clock()

    def bound(self, budget_ms: int) -> int:
        """What fits into the rest of the budget."""
        self._prepared = self._clock()
        budget = budget_ms / 1000
        left = max(budget / SHARE, budget - (self._prepared - self._began))
        return max(1, round(left * self._rate))

    def did(self, units: int) -> None:
        """So many were done since the bound was told."""
        took = self._clock() - self._prepared
        if units < ENOUGH or took <= 0:
            return
        rate = min(self._rate * CHANGE, max(self._rate / CHANGE, units / took))
        self._rate = min(FASTEST, max(SLOWEST, (self._rate + rate) / 2))
