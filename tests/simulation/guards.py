"""The guards that can be switched off, here and nowhere else, to see that each is missed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from agents import reconcile
from agents.reconcile import Local
from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.events import AllocationEvent, Released, SeatEnded
from domain.errors import Unavailable
from domain.job import job as jobs
from domain.job.after import Condition
from domain.job.events import GraceExpired, JobEvent
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.policy.events import PriceList
from domain.policy.prices import rates_of
from domain.project.budget import window_at
from domain.reservation.reservation import Reservation
from domain.reservation.schedule import Span
from domain.scheduling import budgets, conclude, instances, node_state, windows
from domain.scheduling.budgets import UNBOUNDED, Account, Budgets, Short
from domain.scheduling.dependents import Dependents
from domain.scheduling.inherit import Inheritance
from domain.scheduling.limits import Ledger
from domain.scheduling.spending import Piece, Spending, add
from domain.scheduling.windows import Access, Windows
from domain.values.ids import JobId, NodeId
from domain.values.priority import MAX_PRIORITY
from infra.cloudevents import Received
from infra.kafka_stream import KafkaStream
from infra.outbox import Anchor, Row
from infra.topic import Topic, TopicLost
from processors.relay import BATCH, Relay
from projections import jobs as rows


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
    REGISTRATION = "a registration is recorded only while the lease that it began goes on as it was"
    ORDER_SESSION = "a session is given its own orders only"
    LATE_START = "a seat that was stopped, or whose lease ended, before it started never starts"
    RECORD_FIRST = "an agent writes a seat down before it starts it"
    QUOTA = "a job over its project's quota waits"
    GRACE = "grace ends at its deadline"
    STEADY = "no lease is believed to be over just after the database's clock was set ahead"
    RETELL = "an agent tells again what the cell was told and does not know"
    RAISE = "a failover raises every epoch beyond any that was lost"
    WINDOW = "a job that would run into a window that is not for it is not placed there"
    NOTICE = "one whose length nobody knows is not placed there from the notice on"
    WINDOW_END = "one that is admitted is gone by the window's end"
    LEAVE = "what runs where a window begins that is not for it is asked to leave before"
    BUDGET = "a job that its budget cannot pay for waits"
    RESERVE = "what a job may still cost counts in its budgets until it ends"
    EACH_WINDOW = "a job that outlasts its budget's window is paid by the next one too"
    FIXED_PRICE = "prices hold for a job under a budget from its placement on"
    BUDGET_STOP = "a job is asked to end before what was reserved for it is over"
    SLICES = "of a GPU no memory slice is in two instances"
    AFTER = "a job that comes after others starts once they ended"
    OUTCOME = "a job that needs another's success does not start after its failure"
    WAITER = "an inherited priority ends with the job that waits"
    CAP = "a job inherits no higher priority than its project allows"
    NOTED = "only the relay that leads notes how far it came"
    HEARD = "a relay notes a position only once its records are acknowledged"
    HELD = "a relay goes on only behind a record that the topic still holds"
    CHAIN = "a relay goes on only from an event that its log holds"
    FOREIGN = "a relay refuses a topic with an event that its log does not hold"
    LAST = "a reader refuses what the log does not hold"
    GAP = "a reader is given nothing from behind a gap"
    HOLD = "after a failover nobody leads until every lease that may have been lost is over"
    START_HELD = "after a failover no seat starts until every lease that may have been lost is over"


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


def _nothing_kept(found: Windows, access: Access, start: int, end: int | None) -> frozenset[Any]:
    return frozenset()


_in_the_way = windows._in_the_way


def _without_notice(
    one: Reservation, access: Access, span: Span, start: int, end: int | None
) -> bool:
    return _in_the_way(one, access, span, start, start + 1 if end is None else end)


def _over_the_end(
    one: Reservation, access: Access, span: Span, start: int, end: int | None
) -> bool:
    return one.name not in access and _in_the_way(one, access, span, start, end)


def _nobody_moves(snapshot: Any, now: int) -> set[Any]:
    return set()


def _affordable(found: Budgets, new: Piece) -> Short | None:
    return UNBOUNDED if new.until is None else None


def _used_only(piece: Piece, now: int) -> Piece:
    return piece._replace(until=now)


def _first_window(found: Budgets, account: Account, new: Piece) -> str:
    window = window_at(account.budget, new.since)
    return account.short(add(found.committed(account, window), account.part(new, window)))


def _reprice_all(spending: Spending, prices: PriceList, at: int) -> None:
    for name, piece in spending.held.items():
        spending._end(piece, at)
        rates = rates_of(prices, piece.gpu_model)
        spending.held[name] = piece._replace(rates=rates, since=at)


def _own_limit(job: Job) -> int | None:
    return jobs._own_limit(job) if job.stop_cause is None else None


def _occupy_nothing(taken: Any, devices: Any) -> None:
    return None


def _wait_for_nobody(dependents: Dependents, job: Any, dependency: Any, on: Condition) -> None:
    return None


_settle = Dependents._settle


def _any_end_will_do(dependents: Dependents, job: JobId, dependency: JobId) -> Condition:
    _settle(dependents, job, dependency)
    return Condition.ANY


_claim, _stands_anew = Inheritance._claim, Inheritance._stands_anew


def _claim_for_ever(
    found: Inheritance, name: JobId, job: Job | None, dependents: Dependents
) -> list[JobId]:
    blocked = job is not None and job.phase is Phase.BLOCKED and name in dependents.waits
    return _claim(found, name, job, dependents) if blocked else []


def _stand_for_the_ended(found: Inheritance, job: Job, live: Mapping[JobId, Job]) -> bool:
    before = found.standing.get(job.id)
    try:
        return _stands_anew(found, job, live)
    except KeyError:  # whoever claims it is gone
        if before is not None:
            found.standing[job.id] = before
        return False


def _stand_anywhere(found: Inheritance, job: Job, live: Mapping[JobId, Job]) -> bool:
    allowed, found.most = found.most, dict.fromkeys(found.most, MAX_PRIORITY)
    try:
        return _stands_anew(found, job, live)
    finally:
        found.most = allowed


_publish, _take = Topic.publish, KafkaStream._take


def _publish_unheard(topic: Topic, rows: Sequence[Row], anchor: Anchor) -> Anchor:
    try:
        return _publish(topic, rows, anchor)
    except TopicLost:
        raise
    except Unavailable:
        return Anchor(rows[-1].position, anchor.offset + len(rows))


def _always_held(topic: Topic, anchor: Anchor) -> bool:
    return True


def _whatever_is_next(relay: Relay) -> Sequence[Row]:
    return relay._outbox.rows(relay.anchor.position, BATCH)


def _believed(relay: Relay, anchor: Anchor) -> int:
    return sys.maxsize


def _believed_to_be_held(stream: KafkaStream, event: Received) -> None:
    return None


def _take_from_behind(stream: KafkaStream, event: Received) -> None:
    _take(stream, replace(event, previous=min(event.previous, stream._last)))


_REMOVALS: dict[Guard, tuple[tuple[Any, str, Any], ...]] = {
    Guard.FACTS: ((allocations, "seat_ended", _end_again),),
    Guard.SURVIVORS: (
        (Allocation, "all_ended", property(_one_end_is_enough)),
        (allocations, "release", _release_at_once),
    ),
    Guard.LATE_START: ((reconcile, "too_late", _never_too_late),),
    Guard.QUOTA: ((Ledger, "blocker", _no_blocker),),
    Guard.GRACE: ((jobs, "expire_grace", _expire_now),),
    Guard.WINDOW: ((Windows, "kept", _nothing_kept),),
    Guard.NOTICE: ((windows, "_in_the_way", _without_notice),),
    Guard.WINDOW_END: ((windows, "_in_the_way", _over_the_end),),
    Guard.LEAVE: ((conclude, "moving", _nobody_moves),),
    Guard.BUDGET: ((Budgets, "_missing", _affordable),),
    Guard.RESERVE: ((budgets, "_ended_by", _used_only),),
    Guard.EACH_WINDOW: ((Budgets, "_short", _first_window),),
    Guard.FIXED_PRICE: ((Spending, "reprice", _reprice_all),),
    Guard.BUDGET_STOP: ((jobs, "limit_at", _own_limit), (rows, "limit_at", _own_limit)),
    Guard.SLICES: (
        (instances, "occupy", _occupy_nothing),
        (node_state, "occupy", _occupy_nothing),
    ),
    Guard.AFTER: ((Dependents, "add", _wait_for_nobody),),
    Guard.OUTCOME: ((Dependents, "_settle", _any_end_will_do),),
    Guard.WAITER: (
        (Inheritance, "_claim", _claim_for_ever),
        (Inheritance, "_stands_anew", _stand_for_the_ended),
    ),
    Guard.HEARD: ((Topic, "publish", _publish_unheard),),
    Guard.HELD: ((Topic, "holds", _always_held),),
    Guard.CHAIN: ((Relay, "_next", _whatever_is_next),),
    Guard.FOREIGN: ((Relay, "_hold_against_log", _believed),),
    Guard.LAST: ((KafkaStream, "_check_last", _believed_to_be_held),),
    Guard.GAP: ((KafkaStream, "_take", _take_from_behind),),
    Guard.CAP: ((Inheritance, "_stands_anew", _stand_anywhere),),
}
