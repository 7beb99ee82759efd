"""The plan of one cycle: who starts where, who makes room, and why the others wait."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from domain.allocation.seat import Seat
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.project.events import Quota
from domain.scheduling.explain import explain
from domain.scheduling.preempt import find_victims, room_without
from domain.scheduling.reason import WaitCode, WaitReason
from domain.scheduling.room import Room, place
from domain.scheduling.snapshot import Snapshot, order_key
from domain.values.ids import JobId, ProjectId
from domain.values.resources import NOTHING, Resources


@dataclass(frozen=True)
class Placement:
    """A job's whole gang and the GPU model it gets."""

    job: JobId
    seats: tuple[Seat, ...]
    gpu_model: str


@dataclass(frozen=True)
class Preemption:
    """A victim and for whom it makes room."""

    victim: JobId
    preemptor: JobId


@dataclass(frozen=True)
class Wait:
    """A job left waiting and why."""

    job: JobId
    reason: WaitReason


@dataclass
class Plan:
    """The decisions of a cycle, in the order they were made."""

    placements: list[Placement] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)


def plan(snapshot: Snapshot) -> Plan:
    """Decide for every queued job, by priority and then time in the queue.

    For each job in order:
    1. over its project's quota: it waits;
    2. its whole gang fits: it is placed;
    3. victims are already saving for it: what they and the free nodes offer is kept for it;
    4. jobs of lower priority can make room: the fewest are asked, and the room is kept;
    5. else it waits for the dominant reason, and jobs behind it may use what it cannot.
    """
    return _Cycle(snapshot).run()


class _Cycle:
    """The working state of one cycle. Jobs of one shape fail once, not each anew."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.settings = snapshot.policy.scheduler
        self.room = Room.of(snapshot)
        self.plan = Plan()
        self.used = dict(snapshot.used)
        self.failed: dict[JobSpec, WaitReason] = {}
        self.victims: dict[JobId, list[Job]] = defaultdict(list)
        self.asked: set[JobId] = set()
        for job in snapshot.jobs.values():
            if job.phase is Phase.PREEMPTING and job.preemptor is not None:
                self.victims[job.preemptor].append(job)

    def run(self) -> Plan:
        for job in sorted((self.snapshot.jobs[i] for i in self.snapshot.queued), key=order_key):
            reason = self._decide(job)
            if reason is not None:
                self.plan.waits.append(Wait(job.id, reason))
        return self.plan

    def _decide(self, job: Job) -> WaitReason | None:
        """Place the job, or say why it waits."""
        blocker = self._over_quota(job)
        if blocker:
            return WaitReason(WaitCode.OVER_QUOTA, seats=job.spec.replicas, blocker=blocker)
        shape = _shape(job)
        known = self.failed.get(shape)
        if known is not None and job.id not in self.victims:
            return known
        found = place(job.spec, self.room)
        if found is not None:
            self._take(job, *found)
            self._charge(job)
            return None
        if self.victims.get(job.id):
            return self._keep_room(job, self.victims[job.id])
        victims = self._find_victims(job)
        if victims:
            for victim in victims:
                self.asked.add(victim.id)
                self.plan.preemptions.append(Preemption(victim.id, job.id))
            return self._keep_room(job, victims)
        reason = explain(job.spec, self.snapshot, self.room)
        self.failed[shape] = reason
        return reason

    def _find_victims(self, job: Job) -> list[Job] | None:
        if not self.settings.enable_preemption:
            return None
        return find_victims(self.snapshot, job, self.room, self.asked)

    def _take(self, job: Job, seats: tuple[Seat, ...], model: str) -> None:
        for seat in seats:
            self.room.take(seat, job.spec.resources)
        self.plan.placements.append(Placement(job.id, seats, model))

    def _keep_room(self, job: Job, victims: list[Job]) -> WaitReason:
        """Reserve for the job what it will hold once its victims left."""
        found = place(job.spec, room_without(self.snapshot, self.room, victims))
        if found is not None:
            self._charge(job)
            for seat in found[0]:
                self.room.take(seat, job.spec.resources)
        return WaitReason(
            WaitCode.PREEMPTING, nodes=len(self.snapshot.nodes), seats=job.spec.replicas
        )

    def _over_quota(self, job: Job) -> str:
        """The resource whose limit the job would pass, or nothing."""
        quota = self.snapshot.quotas.get(job.spec.project, Quota())
        after = self._used(job.spec.project) + job.spec.total
        for name in ("gpu_milli", "cpu_milli", "memory_bytes"):
            limit = getattr(quota, name)
            if limit is not None and getattr(after, name) > limit:
                return name.partition("_")[0]
        return ""

    def _used(self, project: ProjectId) -> Resources:
        return self.used.get(project, NOTHING)

    def _charge(self, job: Job) -> None:
        self.used[job.spec.project] = self._used(job.spec.project) + job.spec.total


def _shape(job: Job) -> JobSpec:
    """What decides whether a job fits and whom it may preempt, as a spec with the rest blank."""
    return JobSpec(
        name="",
        project=ProjectId(""),
        command=("-",),
        image="-" if job.spec.image is not None else None,
        resources=job.spec.resources,
        gpu_types=job.spec.gpu_types,
        replicas=job.spec.replicas,
        priority=job.priority,
    )
