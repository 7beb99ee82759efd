"""Telling: why lines wait, by what is free once every job of a cycle is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from domain.job.job import Job
from domain.scheduling.demand import Demand
from domain.scheduling.explain import explain
from domain.scheduling.horizon import Hold
from domain.scheduling.limits import Ledger
from domain.scheduling.lines import Line
from domain.scheduling.reason import WaitCode, WaitReason
from domain.scheduling.room import Room
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, NodeId

Kept = Callable[[Job], frozenset[NodeId]]
"""The nodes that are kept from a job."""
MOST_WAITS = 10_000
"""Explanations told in one cycle; the others follow in the next."""


@dataclass(frozen=True)
class Wait:
    """A job left waiting and why."""

    job: JobId
    reason: WaitReason


class Telling:
    """What jobs are told that were told another kind of reason before, or none."""

    def __init__(self, snapshot: Snapshot, ledger: Ledger, holds: Mapping[JobId, Hold]) -> None:
        self._snapshot, self._ledger, self._holds = snapshot, ledger, holds
        self._reasons: dict[tuple[Demand, frozenset[NodeId]], WaitReason] = {}
        self.waits: list[Wait] = []
        self.more = False
        """Whether not all could be told."""
        self._promised: set[JobId] = set()

    def promise(self, job: Job) -> None:
        """Room is being made for the job: what its line waits for is no news to it."""
        self._promised.add(job.id)
        seats, nodes = job.spec.replicas, len(self._snapshot.nodes)
        self.tell(job, WaitReason(WaitCode.PREEMPTING, nodes=nodes, seats=seats))

    def tell(self, job: Job, reason: WaitReason) -> None:
        """The job waits for this reason."""
        if job.waiting is not None and job.waiting.kind == reason.kind:
            return
        if len(self.waits) < MOST_WAITS:
            self.waits.append(Wait(job.id, reason))
        else:
            self.more = True

    def tell_all(
        self, blocked: Iterable[tuple[Line, int, Demand]], free: Room, room: Room, kept: Kept
    ) -> None:
        """Lines wait from a job on with a demand: `free` is left, `room` of it is for anybody."""
        for line, number, demand in blocked:
            if self.more:
                break  # the rest follows in the next cycle
            job = self._snapshot.jobs[line.places[number][1]]
            self._tell(line, number, self._reason(job, demand, free, room, kept))

    def _tell(self, line: Line, number: int, reason: WaitReason) -> None:
        """Tell the line's jobs from this one on why they wait, if they do not know."""
        if not line.untold(reason.kind):
            return
        knowing = line.told.get(reason.kind, set())
        for _, job_id in line.places[number:]:
            if self.more:
                return
            if job_id not in knowing and job_id not in self._promised:
                hold = self._holds.get(job_id)
                told = reason if hold is None else replace(reason, starts_at=hold.start)
                self.tell(self._snapshot.jobs[job_id], told)

    def _reason(self, job: Job, demand: Demand, free: Room, room: Room, kept: Kept) -> WaitReason:
        """Why a job waits that got nothing, now that every job is decided."""
        seats = job.spec.replicas
        if seats > 1 and not self._snapshot.policy.scheduler.enable_gang_scheduling:
            return WaitReason(WaitCode.GANGS_OFF, seats=seats)
        if not self._ledger.affordable(job):
            return self._ledger.reason(job)
        closed = kept(job)
        if (demand, closed) not in self._reasons:
            found = explain(demand, self._snapshot, free, room, closed)
            self._reasons[demand, closed] = found
        return self._reasons[demand, closed]
