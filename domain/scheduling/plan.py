"""The plan of one cycle: who starts where, who makes room, and why the others wait."""

from __future__ import annotations

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


def plan(snapshot: Snapshot, now: int) -> Plan:
    """Decide for every queued job, by priority and then time in the queue.

    `now` is store time in microseconds since the epoch; nothing else of the clock is known here.
    For each job in order:
    1. over its project's quota: it waits;
    2. its whole gang fits: it is placed;
    3. it fits once the jobs that were preempted have left: that room is kept for it;
    4. jobs of lower priority can make room: none too many are asked, and the room is kept;
    5. else it waits, and jobs behind it may use what it cannot.
    Why those of 5 wait is told last, by what then is free: the next cycle would say the same.
    """
    return _Cycle(snapshot, now).run()


class _Cycle:
    """The working state of one cycle. Jobs of one shape fail once, not each anew."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self.snapshot = snapshot
        self.now = now
        self.settings = snapshot.policy.scheduler
        leaving = [job for job in snapshot.jobs.values() if _leaves_for_another(job)]
        self.free = Room.of(snapshot)  # what placements have not taken
        self.room = self.free.fork()  # the part of it that is kept for nobody
        self.later = room_without(snapshot, self.free, leaving)  # `room` after they left
        self.plan = Plan()
        self.used = dict(snapshot.used)
        self.failed: set[tuple[JobSpec, int]] = set()
        self.reasons: dict[JobSpec, WaitReason] = {}
        self.helped = {job.preemptor for job in leaving}
        self.asked: set[JobId] = set()
        self.promised: set[JobId] = set()

    def run(self) -> Plan:
        queued = sorted((self.snapshot.jobs[i] for i in self.snapshot.queued), key=order_key)
        waiting = [job for job in queued if not self._start(job)]
        self.plan.waits = [Wait(job.id, self._reason(job)) for job in waiting]
        return self.plan

    def _start(self, job: Job) -> bool:
        """Place the job, or see to it that it can be soon; whether it was placed."""
        shape = (_demand(job.spec), job.priority)
        if self._over_quota(job):
            return False
        if shape not in self.failed:
            found = place(job.spec, self.room)
            if found is not None:
                self._take(job, *found)
                return True
            if self._keep_room(job) or self._preempt(job):
                self.promised.add(job.id)
                return False
        if job.id in self.helped:  # a job ahead took its room; those it asked leave first
            self.promised.add(job.id)
        else:
            self.failed.add(shape)
        return False

    def _reason(self, job: Job) -> WaitReason:
        """Why the job waits, now that every job is decided."""
        seats = job.spec.replicas
        if job.id in self.promised:
            return WaitReason(WaitCode.PREEMPTING, nodes=len(self.snapshot.nodes), seats=seats)
        blocker = self._over_quota(job)
        if blocker:
            return WaitReason(WaitCode.OVER_QUOTA, seats=seats, blocker=blocker)
        demand = _demand(job.spec)
        if demand not in self.reasons:
            self.reasons[demand] = explain(demand, self.snapshot, self.free, self.room)
        return self.reasons[demand]

    def _take(self, job: Job, seats: tuple[Seat, ...], model: str) -> None:
        for room in (self.free, self.room, self.later):
            room.take(seats, job.spec.resources)
        self._charge(job)
        self.plan.placements.append(Placement(job.id, seats, model))

    def _keep_room(self, job: Job) -> bool:
        """Keep for the job what it will hold once others left, if that is enough."""
        found = place(job.spec, self.later)
        if found is None:
            return False
        for room in (self.room, self.later):
            room.take(found[0], job.spec.resources)
        self._charge(job)
        return True

    def _preempt(self, job: Job) -> bool:
        """Ask jobs of lower priority to make room, if that can help."""
        if not self.settings.enable_preemption or job.id in self.helped:
            return False
        victims = find_victims(self.snapshot, job, self.later, self.asked)
        if victims is None:
            return False
        for victim in victims:
            self.asked.add(victim.id)
            self.plan.preemptions.append(Preemption(victim.id, job.id))
        self.later = room_without(self.snapshot, self.later, victims)
        return self._keep_room(job)

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


def _leaves_for_another(job: Job) -> bool:
    """Whether the job was preempted for a job; one that was cancelled since leaves all the same."""
    return job.preemptor is not None and job.phase in (Phase.PREEMPTING, Phase.STOPPING)


def _demand(spec: JobSpec) -> JobSpec:
    """What decides whether a job fits, as a spec with the rest blank."""
    return JobSpec(
        name="",
        project=ProjectId(""),
        command=("-",),
        image="-" if spec.image is not None else None,
        resources=spec.resources,
        gpu_types=spec.gpu_types,
        replicas=spec.replicas,
    )
