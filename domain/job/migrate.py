"""Commands about a migration: ask for one, take it back, say why it has to wait."""

from __future__ import annotations

from domain.errors import Conflict, Invalid
from domain.job import events as e
from domain.job.events import JobEvent
from domain.job.job import Job
from domain.job.migration import Migration
from domain.job.transitions import Phase
from domain.scheduling.reason import WaitReason
from domain.values.ids import NodeId

_RUNS = (Phase.STARTING, Phase.RUNNING)


def migrate(job: Job, to: NodeId | None) -> list[JobEvent]:
    """Have the job move away from its nodes, to `to` if one is named, once there is room.

    It runs on until then. Another request takes the place of one that still waits for room; the
    same again changes nothing.
    """
    _require_running(job, "migrate")
    leaves = tuple(sorted({seat.node for seat in job.seats}))
    if to in leaves:
        detail = f"to: the job runs on {to}; name another node, or none for any other"
        raise Invalid("already_on_node", detail, field="to")
    known = job.migration
    if known is not None and (known.leaves, known.to) == (leaves, to):
        return []
    return [e.MigrationRequested(job.attempt, leaves, to)]


def withdraw(job: Job) -> list[JobEvent]:
    """Take back a request that still waits for room: the job stays where it is."""
    if job.migration is not None:
        _require_running(job, "withdraw a migration")
        return [e.MigrationWithdrawn(job.attempt)]
    raise Conflict("no_migration", "no migration of the job waits for room", phase=job.phase)


def explain_migration(job: Job, reason: WaitReason) -> list[JobEvent]:
    """Record why there is no room elsewhere, unless it was last told a reason of the same kind."""
    known = pending(job)
    if known is None or (known.waiting is not None and known.waiting.kind == reason.kind):
        return []
    return [e.MigrationExplained(job.attempt, reason)]


def pending(job: Job) -> Migration | None:
    """The migration that waits for room while the job runs on, if there is one."""
    return job.migration if job.phase in _RUNS else None


def _require_running(job: Job, command: str) -> None:
    if job.phase in (Phase.PREEMPTING, Phase.STOPPING):
        detail = f"the job was asked to leave already: {job.stop_cause}"
        raise Conflict("already_stopping", detail, phase=job.phase)
    if job.phase not in _RUNS:
        detail = f"the job is {job.phase}; {command} needs one of: running, starting"
        raise Conflict("wrong_phase", detail, phase=job.phase)
