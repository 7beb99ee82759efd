"""Ends: when running jobs are expected to have left, in order, kept from one cycle to the next."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from domain.job.job import Job
from domain.job.transitions import Phase
from domain.values.ids import AllocationId
from domain.values.time import SECOND

_END = "￿"  # after every id


@dataclass
class Ends:
    """Planned ends of running jobs, and allocations whose end depends on when one asks."""

    planned: list[tuple[int, AllocationId]] = field(default_factory=list)
    of: dict[AllocationId, int] = field(default_factory=dict)
    loose: dict[AllocationId, None] = field(default_factory=dict)

    def note(self, allocation: AllocationId, job: Job) -> None:
        """The job that holds it changed."""
        self.forget(allocation)
        seconds = job.spec.expected_seconds
        if job.phase is Phase.RUNNING and job.started_at is not None:
            if seconds is not None:
                end = self.of[allocation] = job.started_at + seconds * SECOND
                insort(self.planned, (end, allocation))
        elif not job.leaves_for_another:  # whoever does is counted as gone
            self.loose[allocation] = None

    def forget(self, allocation: AllocationId) -> None:
        """It was released."""
        self.loose.pop(allocation, None)
        end = self.of.pop(allocation, None)
        if end is not None:
            del self.planned[bisect_left(self.planned, (end, allocation))]

    def late(self, now: int) -> list[AllocationId]:
        """Those that should have ended by now."""
        return [allocation for _, allocation in self.planned[: self._after(now)]]

    def later(self, now: int) -> Iterator[tuple[int, AllocationId]]:
        """The planned ends after now, in order. They must not change meanwhile."""
        return islice(self.planned, self._after(now), None)

    def _after(self, now: int) -> int:
        return bisect_right(self.planned, (now, AllocationId(_END)))


def expected_end(job: Job, now: int) -> int | None:
    """When the job is expected to have left (microseconds), None if nothing is known.

    A job that overruns is expected to run as long again.
    """
    if job.phase in (Phase.PREEMPTING, Phase.STOPPING):
        return max(now, job.stop_deadline or now)
    seconds = job.spec.expected_seconds
    if seconds is None:
        return None
    start = now if job.started_at is None else job.started_at
    end = start + seconds * SECOND
    while end <= now:
        end += max(SECOND, end - start)
    return end
