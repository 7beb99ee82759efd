"""The queue as lines: jobs that ask for the same on behalf of the same stand in one line.

A cycle looks at the head of each line, not at each job: what is true of the first that does not fit
is true of all behind it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.job.job import Job
from domain.scheduling.demand import Demand, demand_of
from domain.scheduling.inherit import Standing
from domain.scheduling.reason import Kind
from domain.values.ids import JobId, ProjectId

Place = tuple[int, JobId]
"""Where a job stands in its line: time in the queue, then id."""


class LineKey(NamedTuple):
    """What jobs of one line have in common."""

    demand: Demand
    project: ProjectId
    user: str
    priority: int
    expected_seconds: int | None
    deadline: int | None


@dataclass
class Line:
    """The jobs of one key, longest in the queue first; `told` are those that know why, by kind."""

    key: LineKey
    places: list[Place] = field(default_factory=list)
    told: dict[Kind, set[JobId]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[JobId]:
        return (job for _, job in self.places)

    def __len__(self) -> int:
        return len(self.places)

    def untold(self, kind: Kind) -> bool:
        """Whether some job of the line was last told another kind of reason, or none."""
        return len(self.told.get(kind, ())) < len(self.places)


@dataclass
class Lines:
    """Every queued job in its line."""

    by_key: dict[LineKey, Line] = field(default_factory=dict)
    of_job: dict[JobId, tuple[LineKey, int, Kind | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.of_job)

    def put(self, job: Job, standing: Standing) -> None:
        """The job is queued; again where it stands elsewhere, it changes lines."""
        key = LineKey(
            demand_of(job.spec),
            job.spec.project,
            standing.user,
            standing.priority,
            job.spec.expected_seconds,
            job.spec.deadline,
        )
        kind = job.waiting.kind if job.waiting else None
        known = self.of_job.get(job.id)
        if known == (key, job.queued_since, kind):
            return
        if known is not None and known[:2] == (key, job.queued_since):
            self._tell(self.by_key[key], job.id, known[2], kind)
        else:
            self.remove(job.id)
            line = self.by_key.get(key)
            if line is None:
                line = self.by_key[key] = Line(key)
            place = (job.queued_since, job.id)
            if line.places and place < line.places[-1]:
                insort(line.places, place)
            else:
                line.places.append(place)
            self._tell(line, job.id, None, kind)
        self.of_job[job.id] = (key, job.queued_since, kind)

    def remove(self, job: JobId) -> None:
        """The job left the queue."""
        known = self.of_job.pop(job, None)
        if known is None:
            return
        key, since, kind = known
        line = self.by_key[key]
        del line.places[bisect_left(line.places, (since, job))]
        self._tell(line, job, kind, None)
        if not line.places:
            del self.by_key[key]

    @staticmethod
    def _tell(line: Line, job: JobId, before: Kind | None, after: Kind | None) -> None:
        if before is not None:
            line.told[before].discard(job)
            if not line.told[before]:
                del line.told[before]
        if after is not None:
            line.told.setdefault(after, set()).add(job)
