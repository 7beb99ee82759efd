"""The guards that can be switched off, here and nowhere else, to see that each is missed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from agents import reconcile
from agents.reconcile import Local, Phase
from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.events import AllocationEvent, Released, SeatEnded
from domain.job import job as jobs
from domain.job.events import GraceExpired, JobEvent
from domain.job.job import Job
from domain.scheduling import plan
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
    SEAT_BOOT = "a seat belongs to the boot it was granted to"
    ORDER_BOOT = "a boot is given its own orders only"
    RECORD_FIRST = "an agent writes a seat down before it starts it"
    NOT_LISTED = "an agent kills what the cell does not list"
    QUOTA = "a job over its project's quota waits"
    GRACE = "grace ends at its deadline"


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


def _any_boot(allocation: Allocation, rank: int, node: NodeId, boot: str) -> None:
    return None


def _expire_now(job: Job, now: int) -> list[JobEvent]:
    return [] if job.grace_expired else [GraceExpired(job.attempt)]


def _no_blocker(cycle: Any, job: Job) -> str:
    return ""


def _leave_alone(key: Any, seat: Local, why: str) -> list[Any]:
    if why == reconcile.NOT_ORDERED or seat.phase is Phase.ENDED or seat.killed:
        return []
    return [reconcile.Kill(key, why)]


_REMOVALS: dict[Guard, tuple[tuple[Any, str, Any], ...]] = {
    Guard.FACTS: ((allocations, "seat_ended", _end_again),),
    Guard.SURVIVORS: (
        (Allocation, "all_ended", property(_one_end_is_enough)),
        (allocations, "release", _release_at_once),
    ),
    Guard.SEAT_BOOT: ((allocations, "check_seat", _any_boot),),
    Guard.NOT_LISTED: ((reconcile, "_kill", _leave_alone),),
    Guard.QUOTA: ((plan._Cycle, "_over_quota", _no_blocker),),
    Guard.GRACE: ((jobs, "expire_grace", _expire_now),),
}
