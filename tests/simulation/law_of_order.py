"""The law of order: who comes after others starts after them; nobody stands where it may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.allocation.events import Granted
from domain.event import Recorded
from domain.job.after import Condition
from domain.job.events import Reopened, Submitted, Succeeded
from domain.job.job import Job
from domain.job.transitions import ENDED, Phase
from domain.scheduling.inherit import Standing
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId
from tests.simulation.laws import Fail

Ends = dict[str, list[tuple[int, bool]]]
"""Where in the log each job ended, and whether it succeeded."""


@dataclass
class LawOfOrder:
    """`since` is from which position on the ends count of what a job comes after, by both.

    A job that was opened again is none of its business.
    """

    fail: Fail
    ends: Ends = field(default_factory=dict)
    since: dict[tuple[str, str], int] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)

    def copy(self) -> LawOfOrder:
        """What a standby knows."""
        ends = {job: list(known) for job, known in self.ends.items()}
        return LawOfOrder(self.fail, ends, dict(self.since), set(self.again))

    def recorded(self, item: Recorded, before: Job | None, after: Job) -> None:
        """An event of a job."""
        event = item.event
        if isinstance(event, Reopened):
            self.again.add(after.id)
        if after.phase in ENDED and (before is None or before.phase not in ENDED):
            end = (item.position, isinstance(event, Succeeded))
            self.ends.setdefault(after.id, []).append(end)

    def submitted(self, item: Recorded, event: Submitted, jobs: Mapping[str, Job]) -> None:
        """What runs at this moment has to end first; so has what runs again."""
        name, known = item.stream.partition("/")[2], {end.job for end in event.ended}
        for dependency in event.spec.after:
            job = jobs.get(dependency.job)
            runs = job is not None and job.phase not in ENDED and dependency.job not in known
            self.since[name, dependency.job] = item.position if runs else 0

    def granted(self, event: Granted, job: Job, read: int) -> None:
        """Whoever comes after others starts once they ended, and as they had to."""
        if job.id in self.again:
            return
        for dependency in job.spec.after:
            since = self.since[job.id, dependency.job]
            if not any(
                since <= position <= read and (succeeded or dependency.on is Condition.ANY)
                for position, succeeded in self.ends.get(dependency.job, ())
            ):
                text = f"{event.allocation} is granted, {dependency.job} is not {dependency.on}"
                self.fail("I14", text, job.id)


def check_standing(snapshot: Snapshot, fail: Fail) -> None:
    """Every job stands at its own priority or at that of a job that waits for it now."""
    found = snapshot.inheritance
    if not (found.standing or found.claims or found.made or snapshot.dependents.waits):
        return
    for name, job in snapshot.jobs.items():
        if found.of(job) != (right := _standing(snapshot, name)):
            fail("I15", f"it stands at {found.of(job)}, not at {right}", name)
    strangers = found.standing.keys() - snapshot.jobs.keys()
    if strangers:
        fail("I15", f"ended jobs stand in the queue: {sorted(strangers)}", "")
    for name, (key, _, _) in snapshot.lines.of_job.items():
        if key.priority != (right := _standing(snapshot, name)).priority:
            fail("I15", f"it is queued at {key.priority}, not at {right}", name)


def _standing(snapshot: Snapshot, name: JobId) -> Standing:
    """Where a job stands, by who waits for it."""
    job, waits = snapshot.jobs[name], snapshot.dependents.waits
    best = Standing(job.priority, job.submitted_by)
    waiters = [
        (-_standing(snapshot, other).priority, other)
        for other, theirs in waits.items()
        if name in theirs and snapshot.jobs[other].phase is Phase.BLOCKED
    ]
    if waiters:
        priority, first = min(waiters)
        inherited = min(snapshot.inheritance.most.get(job.spec.project, 0), -priority)
        if inherited > job.priority:
            best = Standing(inherited, _standing(snapshot, first).user)
    return best
