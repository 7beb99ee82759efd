"""Schedule: when a reservation holds, once or again and again."""

from __future__ import annotations

from dataclasses import dataclass

from domain.values.checks import between
from domain.values.quantity import LARGEST
from domain.values.time import SECOND, YEAR_SECONDS

LEAST_EVERY = 3600
"""The shortest period (seconds) in which a window comes again."""

Span = tuple[int, int]
"""From a moment to before another, in microseconds."""


@dataclass(frozen=True)
class Schedule:
    """From `start` for `seconds`, again every `every_seconds` while the start is before `until`.

    `start` and `until` in microseconds since the epoch. Without `every_seconds` it is once. Days
    and weeks are fixed spans: a time of day in a zone with summer time is for whoever writes the
    reservation to shift.
    """

    start: int
    seconds: int
    every_seconds: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        between("start", self.start, 0, LARGEST - YEAR_SECONDS * SECOND)
        between("duration_seconds", self.seconds, 1, YEAR_SECONDS)
        if self.every_seconds is not None:
            least = max(LEAST_EVERY, self.seconds)
            between("every_seconds", self.every_seconds, least, YEAR_SECONDS)
        if self.until is not None:
            between("until", self.until, self.start + 1, LARGEST)

    def next_after(self, moment: int) -> Span | None:
        """Its first span that ends after the moment, None if all are over."""
        length = self.seconds * SECOND
        if self.every_seconds is None:
            return (self.start, self.start + length) if self.start + length > moment else None
        every = self.every_seconds * SECOND
        start = self.start + max(0, (moment - length - self.start) // every + 1) * every
        if self.until is not None and start >= self.until:
            return None
        return start, start + length

    def touching(self, begin: int, end: int) -> list[Span]:
        """Its spans that touch [begin, end), in order, whole."""
        found = []
        span = self.next_after(begin)
        while span is not None and span[0] < end:
            found.append(span)
            span = self.next_after(span[1])
        return found
