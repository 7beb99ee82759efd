"""The scheduler: follows the log into a snapshot, decides, appends under its epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from domain.allocation import allocation as allocations
from domain.event import Meta
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.job import Job
from domain.scheduling.conclude import Conclusion, conclude, grace_of
from domain.scheduling.plan import Placement, Plan, plan
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId
from domain.values.time import SECOND
from infra.failpoint import failpoint
from infra.recorder import Epoch
from infra.store import Change, Log, VersionConflict, stream_of
from processors.reading import Quarantine, Reading
from processors.stream import EventStream

ROLE = "scheduler"
CHUNK = 1000
"""Decisions in one transaction: one conflict does not sink a cycle, the lock stays short."""

log = logging.getLogger(__name__)
Decision = list[Change]


class Scheduler:
    """One leader's working life. Its snapshot is rebuilt from the log when it takes over."""

    def __init__(
        self,
        store: Log,
        stream: EventStream,
        epoch: Epoch,
        now: Callable[[], int],
        ward: Quarantine | None = None,
    ) -> None:
        """Without a `ward` to tell of it, an event that cannot be read ends it."""
        self._store = store
        self._stream = stream
        self._epoch = epoch
        self._now = now
        self._recorded = store.head()
        """What a leader has decided up to here is in the log; a stream may be behind that."""
        self._due = False
        self._reading = Reading(store, stream, ROLE, ward)
        self.snapshot = Snapshot()

    def run(self) -> None:
        """Follow the log for ever; StaleWriter ends it when another leader took over."""
        while True:
            if not self.cycle():
                self._stream.wait(1.0)

    def cycle(self) -> bool:
        """One cycle; whether it decided anything.

        1. follow the log, at least to what this leader and those before it recorded: whoever
           decided without that would give away twice what is free once;
        2. conclude what agents reported and append it; follow again, to see it recorded, and
           conclude what came meanwhile;
        3. plan and append the decisions.
        A rival's write makes its transaction fail as a whole; the next cycle sees it and decides
        anew.
        """
        self._due |= self._follow()
        if not self._due or self._behind():
            return False
        failpoint("scheduler.followed")
        while self._append(self._conclusions()):
            failpoint("scheduler.concluded")
            self._follow()
            if self._behind():
                return True
        made = plan(self.snapshot, self._now())
        self._due = made.more
        failpoint("scheduler.planned")
        self._append(self._decisions(made))
        return True

    def _behind(self) -> bool:
        return self.snapshot.position < self._recorded

    def _follow(self) -> bool:
        return self._reading.follow(self.snapshot)

    def _conclusions(self) -> list[Decision]:
        found = [self._conclusion(c) for c in conclude(self.snapshot, self._now())]
        if not found:
            self.snapshot.touched.clear()
        return found

    def _conclusion(self, found: Conclusion) -> Decision:
        meta = self._meta(found.job)
        return [
            self._change("allocation", found.allocation.id, found.allocation_events, meta),
            self._change("job", found.job.id, found.job_events, meta),
        ]

    def _decisions(self, made: Plan) -> list[Decision]:
        now = self._now()
        decisions = [self._placement(placement) for placement in made.placements]
        for preemption in made.preemptions:
            victim = self.snapshot.jobs[preemption.victim]
            deadline = now + grace_of(victim, self.snapshot) * SECOND
            events = jobs.preempt(victim, StopCause.PRIORITY, preemption.preemptor, deadline)
            decisions.append([self._change("job", victim.id, events, self._meta(victim))])
        for wait in made.waits:
            job = self.snapshot.jobs[wait.job]
            events = jobs.explain_wait(job, wait.reason)
            if events:
                decisions.append([self._change("job", job.id, events, self._meta(job))])
        return decisions

    def _placement(self, placement: Placement) -> Decision:
        job = self.snapshot.jobs[placement.job]
        attempt = job.attempt + 1
        allocation = AllocationId(f"alloc-{job.id.removeprefix('job-')}-{attempt}")
        boots = tuple(self.snapshot.nodes[seat.node].node.offer.boot for seat in placement.seats)
        granted = allocations.grant(
            allocation,
            job.id,
            attempt,
            placement.seats,
            boots,
            job.spec.resources,
            gpu_model=placement.gpu_model,
            user=job.submitted_by,
            exclusive=job.spec.where.exclusive,
            labels=job.spec.labels,
        )
        placed = jobs.place(job, allocation, placement.seats, self.snapshot.policy.scheduler.score)
        meta = self._meta(job)
        return [
            self._change("allocation", allocation, granted, meta),
            self._change("job", job.id, placed, meta),
        ]

    def _change(self, kind: str, name: str, events: Sequence[object], meta: Meta) -> Change:
        stream = stream_of(kind, name)
        return Change(stream, self.snapshot.versions.get(stream, 0), events, meta)  # type: ignore[arg-type]  # a union of event types

    def _meta(self, job: Job) -> Meta:
        return Meta(ROLE, f"event:{self.snapshot.position}", job.id, job.spec.project)

    def _append(self, decisions: list[Decision]) -> bool:
        """Append in chunks; whether anything was recorded."""
        recorded = False
        for chunk in _chunks(decisions):
            try:
                appended = self._store.append(chunk, epoch=self._epoch)
                failpoint("scheduler.recorded")
                self._recorded = max([self._recorded, *(r.position for r in appended[-1:])])
                recorded = True
            except VersionConflict:
                log.info("another writer was first: deciding anew")
                break
        return recorded


def _chunks(decisions: list[Decision]) -> Iterator[Decision]:
    remaining = iter(decisions)
    while some := list(islice(remaining, CHUNK)):
        yield [change for decision in some for change in decision if change.events]
