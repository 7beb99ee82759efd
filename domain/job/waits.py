"""The wait ledger: the time a job stood neither placed nor ended, by what kept it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from domain.job import events as e
from domain.job.events import JobEvent
from domain.scheduling.reason import WaitCode


class Apart(StrEnum):
    """What keeps a job beside the scheduler's reasons (`WaitCode`)."""

    NOT_EXAMINED = "not_examined"  # in the queue, and the scheduler has not looked at it
    HELD = "held"  # by its user
    BACKOFF = "backoff"  # it failed and runs again later
    SUSPENDED = "suspended"


@dataclass(frozen=True)
class Waits:
    """Microseconds by cause (a WaitCode or Apart), and the cause that lasts, empty if none does.

    `sums` with the time from `since` on add up to the whole wait.
    """

    cause: str = ""
    since: int = 0
    sums: dict[str, int] = field(default_factory=dict)

    def by(self, now: int) -> dict[str, int]:
        """The sums with what lasts counted up to `now`, the longest first."""
        found = self._with(now).sums
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def _with(self, now: int) -> Waits:
        if not self.cause or now <= self.since:
            return self
        sums = {**self.sums, self.cause: self.sums.get(self.cause, 0) + now - self.since}
        return Waits(self.cause, now, sums)

    def turn(self, cause: str, at: int) -> Waits:
        """Another cause from `at` on, or none."""
        if cause == self.cause:
            return self
        return Waits(cause, at if cause else 0, self._with(at).sums)


def after(waits: Waits, event: JobEvent, at: int) -> Waits:
    """The ledger after an event of the job that was recorded at `at`."""
    if isinstance(event, e.WaitExplained):
        return waits.turn(event.reason.code, at)
    cause = _CAUSES.get(type(event))
    return waits if cause is None else waits.turn(cause, at)


_CAUSES: dict[type[JobEvent], str] = {
    e.Queued: Apart.NOT_EXAMINED,
    e.Held: Apart.HELD,
    e.Blocked: WaitCode.DEPENDENCY,
    e.RetryScheduled: Apart.BACKOFF,
    e.Suspended: Apart.SUSPENDED,
    e.Placed: "",
    e.Cancelled: "",
    e.Succeeded: "",
    e.Failed: "",
    e.TimedOut: "",
}
"""What keeps a job from such an event on; empty where nothing does."""
