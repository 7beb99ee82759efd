"""Dependents: which jobs still have to wait for which to end; folded from the log.

Ended jobs are forgotten, so each submission says which of those it names had ended by then
(`Submitted.ended`). A job may end between that and the submission's place in the log: the ends of
the last hour are remembered for it. One of which neither is known counts as not succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.job.after import Condition
from domain.job.events import JobEvent, Reopened, Submitted
from domain.job.job import Job
from domain.job.transitions import ENDED, Phase
from domain.values.ids import JobId
from domain.values.time import HOUR

_BLOCKED = Phase.BLOCKED  # looking up a member of an enumeration is slow
_concerns_nobody = (frozenset(Phase) - ENDED - {Phase.BLOCKED}).__contains__
"""Of a phase: who waits for a job in it, and what it waits for, does not change."""


@dataclass
class Dependents:
    """Of each live job that comes after others: those it waits for, or the one that failed it.

    `waiters` are the same by the job waited for. `ready` are the blocked jobs about which something
    is to be decided: nothing is left to wait for, or what it waited for did not end as it had to.
    """

    waits: dict[JobId, dict[JobId, Condition]] = field(default_factory=dict)
    failed: dict[JobId, JobId] = field(default_factory=dict)
    recent: dict[JobId, tuple[int, bool]] = field(default_factory=dict)
    waiters: dict[JobId, set[JobId]] = field(default_factory=dict)
    ready: set[JobId] = field(default_factory=set)

    def apply(
        self, known: Job | None, job: Job, event: JobEvent, at: int, live: dict[JobId, Job]
    ) -> None:
        """The event made `known` into `job`; `live` are all others."""
        if known is not None and _concerns_nobody(known.phase) and _concerns_nobody(job.phase):
            return
        if isinstance(event, (Submitted, Reopened)):
            self._begin(job, event, live)
            if isinstance(event, Reopened):
                self._runs_again(job.id, live)
        if job.phase in ENDED:
            self._end(job, at, live)
        self.look(job)

    def add(self, job: JobId, dependency: JobId, on: Condition) -> None:
        """The job waits for the dependency."""
        self.waits.setdefault(job, {})[dependency] = on
        self.waiters.setdefault(dependency, set()).add(job)

    def _begin(self, job: Job, event: Submitted | Reopened, live: dict[JobId, Job]) -> None:
        """A job that is reopened waits for those that are to run again; the others do not count."""
        known = {}
        if isinstance(event, Submitted):
            known = {end.job: end.succeeded for end in event.ended}
        for dependency in job.spec.after:
            name = dependency.job
            if name in live and name not in known:
                self.add(job.id, name, dependency.on)
            elif isinstance(event, Submitted) and dependency.on is Condition.OK:
                succeeded = known.get(name, self.recent.get(name, (0, False))[1])
                if not succeeded:
                    self.failed.setdefault(job.id, name)

    def _runs_again(self, dependency: JobId, live: dict[JobId, Job]) -> None:
        """Who was about to be given up for it waits for it again."""
        for job in [job for job, by in self.failed.items() if by == dependency]:
            del self.failed[job]
            self.add(job, dependency, Condition.OK)
            self.look(live[job])

    def _end(self, job: Job, at: int, live: dict[JobId, Job]) -> None:
        succeeded = job.phase is Phase.SUCCEEDED
        for waiter in sorted(self.waiters.pop(job.id, ())):
            if self._settle(waiter, job.id) is Condition.OK and not succeeded:
                self.failed.setdefault(waiter, job.id)
            self.look(live[waiter])
        for dependency in list(self.waits.get(job.id, ())):
            self._settle(job.id, dependency)
            self.waiters[dependency].discard(job.id)
            if not self.waiters[dependency]:
                del self.waiters[dependency]
        self.failed.pop(job.id, None)
        self.recent.pop(job.id, None)
        self.recent[job.id] = (at, succeeded)
        while self.recent and (oldest := next(iter(self.recent))):
            if self.recent[oldest][0] > at - HOUR:
                break
            del self.recent[oldest]

    def _settle(self, job: JobId, dependency: JobId) -> Condition:
        """It waits for that one no more."""
        waits = self.waits[job]
        on = waits.pop(dependency)
        if not waits:
            del self.waits[job]
        return on

    def look(self, job: Job) -> None:
        """Whether the job is ready, as it is now."""
        blocked = job.phase is _BLOCKED
        if blocked and (job.id in self.failed or job.id not in self.waits):
            self.ready.add(job.id)
        else:
            self.ready.discard(job.id)
