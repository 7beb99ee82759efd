"""Whether the store's clock can be trusted with leases: it may have been set ahead."""

from __future__ import annotations

from infra.leases import MARGIN_MS

STEP_US = MARGIN_MS * 1000 // 2
"""A step ahead by less is within the margin that every lease has."""


class Steady:
    """Watches the store's clock beside this process's own, which nobody sets.

    After a step ahead, leases look over that are not: what ran out is believed again once every
    lease of before the step is over, `lease_us` later by the own clock. So it is at the beginning,
    when nothing is known of what was before.
    """

    def __init__(self, lease_us: int) -> None:
        self._lease_us = lease_us
        self._ahead: int | None = None
        self._until = 0

    def look(self, before_us: int, store_us: int, after_us: int) -> bool:
        """Whether it can be trusted, given its time and the own before and after it was asked."""
        least, most = store_us - after_us, store_us - before_us
        if self._ahead is None or least - self._ahead > STEP_US:
            self._until = after_us + self._lease_us
        self._ahead = most
        return after_us >= self._until
