"""Migration: a running job that is to run elsewhere, from the request until it is placed there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.allocation.seat import Seat
from domain.job import events as e
from domain.scheduling.reason import WaitReason
from domain.values.ids import NodeId


@dataclass(frozen=True)
class Migration:
    """The nodes a job is to leave, and the one it is to move to (None: any other).

    `seats` are kept for it from the moment it is asked to leave; until then it runs on, and
    `waiting` is why there is no room elsewhere, once that was looked for.
    """

    leaves: tuple[NodeId, ...]
    to: NodeId | None = None
    seats: tuple[Seat, ...] = ()
    waiting: WaitReason | None = None


def after(
    known: Migration | None,
    event: e.MigrationRequested | e.MigrationExplained | e.MigrationWithdrawn,
) -> Migration | None:
    """The migration after an event about it."""
    match event:
        case e.MigrationRequested(leaves=leaves, to=to):
            return Migration(leaves, to)
        case e.MigrationExplained(reason=reason) if known is not None:
            return replace(known, waiting=reason)
    return None


def begun(known: Migration | None, asked: e.PreemptionRequested) -> Migration | None:
    """The migration once the job was asked to leave: under way, or given up for another cause."""
    if known is None or asked.cause is not e.StopCause.MIGRATION:
        return None
    return replace(known, seats=asked.seats, waiting=None)
