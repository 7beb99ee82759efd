"""The port through which processes follow the log."""

from __future__ import annotations

from typing import Protocol

from domain.event import Recorded


class EventStream(Protocol):
    """The cell's events in log order; at-least-once, never skipping one."""

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events with positions above `after`, at most `limit`, none when there are none yet."""

    def wait(self, seconds: float) -> None:
        """Return when there may be something new, at the latest after the time."""


class Hint(Protocol):
    """What rings when the log may have grown."""

    def wait(self, seconds: float) -> None:
        """Return when it rang, at the latest after the time."""
