"""Priority inheritance: a job that others wait for stands in the queue for the first of them.

What a job stands at is its own priority, or the highest at which a blocked job that waits for it
stands, as far as the project lets it inherit; so it goes along chains, and ends with the waiter.
Only order in the queue and fair share see it: it lets nobody preempt, and protects nobody.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.job.job import Job
from domain.job.transitions import Phase
from domain.scheduling.dependents import Dependents
from domain.values.ids import JobId, ProjectId


@dataclass(frozen=True)
class Standing:
    """The priority a job has in the queue, and the user for whose share it stands there."""

    priority: int
    user: str


@dataclass
class Inheritance:
    """What jobs inherit now; no others are in `standing`.

    `most` is the highest priority that jobs of a project may inherit; without one they inherit
    nothing. `claims` are, by the job waited for, (minus the priority, id) of those that wait, the
    highest first; `made` are the same by who waits, with where that one stands.
    """

    most: dict[ProjectId, int] = field(default_factory=dict)
    standing: dict[JobId, Standing] = field(default_factory=dict)
    claims: dict[JobId, list[tuple[int, JobId]]] = field(default_factory=dict)
    made: dict[JobId, tuple[Standing, frozenset[JobId]]] = field(default_factory=dict)

    def of(self, job: Job) -> Standing:
        """Where the job stands."""
        return self.standing.get(job.id) or Standing(job.priority, job.submitted_by)

    def idle(self, dependents: Dependents) -> bool:
        """Whether nobody waits for anybody, as a rule: then all stand at their own."""
        return not (self.standing or self.claims or self.made or dependents.waits)

    def update(
        self, names: Iterable[JobId], jobs: Mapping[JobId, Job], dependents: Dependents
    ) -> set[JobId]:
        """These jobs changed, the last of them perhaps ended: the live ones that stand elsewhere.

        It comes to an end, because jobs only wait for older ones.
        """
        moved, todo = set[JobId](), list(names)
        while todo:
            name = todo.pop()
            job = jobs.get(name)
            if job is None:
                self.standing.pop(name, None)
            elif self._stands_anew(job, jobs):
                moved.add(name)
            todo += self._claim(name, job, dependents)
        return moved

    def _stands_anew(self, job: Job, jobs: Mapping[JobId, Job]) -> bool:
        before = self.of(job)
        self.standing.pop(job.id, None)
        most = self.most.get(job.spec.project, 0)
        if job.id in self.claims:
            highest, waiter = self.claims[job.id][0]
            inherited = min(most, -highest)
            if inherited > job.priority:
                self.standing[job.id] = Standing(inherited, self.of(jobs[waiter]).user)
        return self.of(job) != before

    def _claim(self, name: JobId, job: Job | None, dependents: Dependents) -> list[JobId]:
        """Claim of those it waits for what it stands at; whose claims are others now."""
        made = None
        if job is not None and job.phase is Phase.BLOCKED and name in dependents.waits:
            made = (self.of(job), frozenset(dependents.waits[name]))
        before = self.made.pop(name, None)
        if made is not None:
            self.made[name] = made
        if made == before:
            return []
        touched = set[JobId]()
        if before is not None:
            for target in before[1]:
                claims = self.claims[target]
                del claims[bisect_left(claims, (-before[0].priority, name))]
                if not claims:
                    del self.claims[target]
            touched |= before[1]
        if made is not None:
            for target in made[1]:
                insort(self.claims.setdefault(target, []), (-made[0].priority, name))
            touched |= made[1]
        return sorted(touched)
