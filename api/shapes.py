"""Answers: what the read models look like over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from api.after import AfterBody
from api.where import WhereBody, where
from domain.event import Recorded
from domain.job.migration import Migration
from domain.scheduling.reason import WaitReason
from domain.values.resources import Resources
from domain.values.time import to_text
from infra.codec import to_builtins
from projections.jobs import JobRow


class Amount(BaseModel):
    """An amount of each resource."""

    cpu_milli: int
    memory_bytes: int
    gpu: int
    gpu_milli: int


def amount(resources: Resources) -> Amount:
    return Amount(
        cpu_milli=resources.cpu_milli,
        memory_bytes=resources.memory_bytes,
        gpu=resources.gpu_milli // 1000,
        gpu_milli=resources.gpu_milli,
    )


class ExcludedNodes(BaseModel):
    constraint: str
    nodes: int


class Reason(BaseModel):
    """Why a job waits: the dominant cause and the counts behind it."""

    code: str
    text: str
    nodes: int
    nodes_fitting: int
    seats: int
    seats_fitting: int
    blocker: str
    excluded: list[ExcludedNodes]
    starts_at: str | None = None
    frees_at: str | None = None


def reason(found: WaitReason | None) -> Reason | None:
    if found is None:
        return None
    return Reason(
        code=found.code,
        text=found.text(),
        nodes=found.nodes,
        nodes_fitting=found.nodes_fitting,
        seats=found.seats,
        seats_fitting=found.seats_fitting,
        blocker=found.blocker,
        excluded=[ExcludedNodes(constraint=x.constraint, nodes=x.nodes) for x in found.excluded],
        starts_at=_at(found.starts_at),
        frees_at=_at(found.frees_at),
    )


class JobResources(BaseModel):
    cpu_milli: int
    memory_bytes: int
    gpu: int
    gpu_milli: int
    gpu_types: list[str]
    storage_bytes: int = 0
    network_mbps: int = 0
    mig: str = ""


class JobCheckpointing(BaseModel):
    enabled: bool
    interval_seconds: int


class MigrationAnswer(BaseModel):
    """A job that is to run elsewhere; `reason` is why it still waits for room, while it runs on.

    `found` are the nodes kept for it once there is room: from then on it saves and leaves.
    """

    leaves: list[str]
    to: str | None
    found: list[str]
    reason: Reason | None


def migration(known: Migration | None) -> MigrationAnswer | None:
    if known is None:
        return None
    return MigrationAnswer(
        leaves=list(known.leaves),
        to=known.to,
        found=sorted({seat.node for seat in known.seats}),
        reason=reason(known.waiting),
    )


class SeatUsage(BaseModel):
    """The newest sample of a running seat."""

    rank: int
    sampled_at: str
    cpu_milli: int
    memory_bytes: int
    gpus: list[dict[str, Any]]


class Job(BaseModel):
    """A job as it stands; `inherited_priority` while it stands higher in the queue for a waiter."""

    id: str
    name: str
    project_id: str
    user: str
    phase: str
    priority: int
    inherited_priority: int | None = None
    attempt: int
    failures: int
    preemptions: int
    command: list[str]
    docker_image: str | None
    replicas: int
    resources: JobResources
    checkpointing: JobCheckpointing
    labels: dict[str, str]
    submitted_at: str
    queued_since: str | None
    started_at: str | None
    ended_at: str | None
    outcome: str | None
    exit_code: int | None
    detail: str
    nodes: list[str]
    reason: Reason | None
    queue_position: int | None
    due_at: str | None
    stop_deadline: str | None
    preemptor: str | None
    usage: list[SeatUsage] | None
    position: int
    version: int
    where: WhereBody = WhereBody()
    estimate_seconds: int | None = None
    deadline: str | None = None
    min_replicas: int | None = None
    preemptible: bool = True
    accept_when_absent: bool = False
    after: list[AfterBody] = []
    migration: MigrationAnswer | None = None


def _at(at: int | None) -> str | None:
    return None if at is None else to_text(at)


def job(
    row: JobRow,
    place: int | None = None,
    usage: list[SeatUsage] | None = None,
    inherited: int | None = None,
) -> Job:
    """A job's row as answered; `place` and `inherited` priority are those in the queue."""
    state, spec = row.state, row.state.spec
    return Job(
        id=row.id,
        name=row.name,
        project_id=row.project,
        user=row.user,
        phase=row.phase,
        priority=row.priority,
        inherited_priority=inherited,
        attempt=state.attempt,
        failures=state.failures,
        preemptions=row.preemptions,
        command=list(spec.command),
        docker_image=spec.image,
        replicas=spec.replicas,
        resources=JobResources(
            cpu_milli=spec.resources.cpu_milli,
            memory_bytes=spec.resources.memory_bytes,
            gpu=spec.resources.gpu_milli // 1000,
            gpu_milli=spec.resources.gpu_milli,
            gpu_types=list(spec.gpu_types),
            storage_bytes=spec.resources.storage_bytes,
            network_mbps=spec.resources.network_mbps,
            mig=spec.mig,
        ),
        checkpointing=JobCheckpointing(
            enabled=spec.checkpointing.enabled,
            interval_seconds=spec.checkpointing.interval_seconds,
        ),
        labels=dict(spec.labels),
        submitted_at=to_text(row.submitted_at),
        queued_since=_at(state.queued_since or None),
        started_at=_at(state.started_at),
        ended_at=_at(row.ended_at),
        outcome=row.outcome,
        exit_code=row.exit_code,
        detail=row.detail,
        nodes=sorted({seat.node for seat in state.seats}),
        reason=reason(state.waiting),
        queue_position=place,
        due_at=_at(row.due_at),
        stop_deadline=_at(row.stop_deadline),
        preemptor=state.preemptor,
        usage=usage,
        position=row.position,
        version=row.version,
        where=where(spec.where),
        estimate_seconds=spec.estimate_seconds,
        deadline=_at(spec.deadline),
        min_replicas=spec.min_replicas,
        preemptible=spec.preemptible,
        accept_when_absent=spec.accept_when_absent,
        after=[AfterBody(job=a.job, on=a.on) for a in spec.after],
        migration=migration(state.migration),
    )


class LoggedEvent(BaseModel):
    """A recorded event as answered."""

    position: int
    stream: str
    version: int
    name: str
    recorded_at: str
    actor: str
    cause: str
    correlation: str
    project: str | None
    epoch: int | None
    data: dict[str, Any]


def event(recorded: Recorded) -> LoggedEvent:
    return LoggedEvent(
        position=recorded.position,
        stream=recorded.stream,
        version=recorded.version,
        name=recorded.event.topic,
        recorded_at=to_text(recorded.recorded_at),
        actor=recorded.meta.actor,
        cause=recorded.meta.cause,
        correlation=recorded.meta.correlation,
        project=recorded.meta.project,
        epoch=recorded.epoch,
        data=to_builtins(recorded.event),
    )


class Accepted(BaseModel):
    """The answer to a command on a job."""

    id: str
    phase: str
    position: int
