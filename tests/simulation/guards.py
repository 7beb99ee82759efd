"""The guards that can be switched off, here and nowhere else, to see that each is missed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from agents import reconcile
from agents.reconcile import Local
from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.events import AllocationEvent, Released, SeatEnded
from domain.job import job as jobs
from domain.job.events import GraceExpired, JobEvent
from domain.job.job import Job
from domain.scheduling.limits import Ledger
from domain.values.ids import NodeId


class Guard(StrEnum):
    """What keeps the cell safe."""

    EPOCH = "the epoch of a leader is checked in its append"
    VERSIONS = "an append states the stream versions it follows"
    KEYS = "an idempotency key is answered once"
    FACTS = "a seat's end is recorded once"
    LEASE_WAIT = "a node is lost only after its lease and a margin"
    OWN_CLOCK = "an agent kills its seats when its lease ends by its own clock"
    SURVIVORS = "a gang is released only after its last seat ended"
    SESSION = "a boot whose lease was lost gets another session"
    REGISTRATION = "a node's offer is recorded only while its session holds the lease"
    ORDER_SESSION = "a session is given its own orders only"
    LATE_START = "a seat that was stopped, or whose lease ended, before it started never starts"
    RECORD_FIRST = "an agent writes a seat down before it starts it"
    QUOTA = "a job over its project's quota waits"
    GRACE = "grace ends at its deadline"
    STEADY = "no lease is believed to be over just after the database's clock was set ahead"
    RETELL = "an agent tells again what the cell was told and does not know"
    RAISE = "a failover raises every epoch beyond any that was lost"
    HOLD = "after a failover nobody leads until every lease that may have been lost is over"


@contextmanager
def without(guards: frozenset[Guard]) -> Iterator[None]:
    """Take guards out of the domain's and the agent's code while the block runs."""
    with ExitStack() as stack:
        for guard in sorted(guards):
            for target, name, replacement in _REMOVALS.get(guard, ()):
                stack.enter_context(patch.object(target, name, replacement))
        yield


def _end_again(
    allocation: Allocation, rank: int, node: NodeId, boot: str, end: SeatEnd
) -> list[AllocationEvent]:
    allocations.check_seat(allocation, rank, node, boot)
    return [SeatEnded(rank, end.outcome, end.exit_code, end.detail)]


def _one_end_is_enough(allocation: Allocation) -> bool:
    return bool(allocation.ends)


def _release_at_once(allocation: Allocation, project: Any) -> list[AllocationEvent]:
    ids = (allocation.id, allocation.job, project)
    return [] if allocation.released else [Released(*ids, allocation.seats, allocation.per_seat)]


def _expire_now(job: Job, now: int) -> list[JobEvent]:
    return [] if job.grace_expired else [GraceExpired(job.attempt)]


def _no_blocker(ledger: Any, job: Job, seats: int) -> str:
    return ""


def _never_too_late(now_us: int, lease_end_us: int, seat: Local) -> None:
    return None


_REMOVALS: dict[Guard, tuple[tuple[Any, str, Any], ...]] = {
    Guard.FACTS: ((allocations, "seat_ended", _end_again),),
    Guard.SURVIVORS: (
        (Allocation, "all_ended", property(_one_end_is_enough)),
        (allocations, "release", _release_at_once),
    ),
    Guard.LATE_START: ((reconcile, "too_late", _never_too_late),),
    Guard.QUOTA: ((Ledger, "blocker", _no_blocker),),
    Guard.GRACE: ((jobs, "expire_grace", _expire_now),),
}
