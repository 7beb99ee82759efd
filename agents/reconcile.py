"""Orders against what runs here: a pure function that says what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agents.wire import Order, SeatKey
from domain.allocation.seat import Outcome


class Phase(StrEnum):
    """How far a seat known to this agent has come."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class Local:
    """A seat as the agent knows it.

    `reported`: the cell answered that it ended. `told_us`: when its start or end was last told.
    """

    phase: Phase
    asked: bool = False
    killed: bool = False
    reported: bool = False
    told_us: int = 0


@dataclass(frozen=True)
class Start:
    """Run the seat of this order."""

    order: Order


@dataclass(frozen=True)
class AskToStop:
    """Send SIGTERM: the seat may save and end by itself."""

    key: SeatKey


@dataclass(frozen=True)
class Kill:
    """End the seat now; `why` goes into the report."""

    key: SeatKey
    why: str


@dataclass(frozen=True)
class ReportGone:
    """There is nothing here to act on: report the seat ended with this outcome."""

    key: SeatKey
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Forget:
    """The cell knows the end and no longer lists the seat: remove its traces."""

    key: SeatKey


@dataclass(frozen=True)
class TellAgain:
    """The cell was told long ago that it started or ended, and does not know: tell it again."""

    key: SeatKey


Action = Start | AskToStop | Kill | ReportGone | Forget | TellAgain

RETELL_US = 10_000_000
"""A read model lags less; a failover of the cell's database may have lost what was told."""
LEASE_OVER = "the node's lease ended"
DEADLINE = "its time to stop was over"
ORDERED = "the cell ordered it killed"
NOT_ORDERED = "the cell does not list it"


def reconcile(
    orders: Mapping[SeatKey, Order] | None,
    local: Mapping[SeatKey, Local],
    deadlines: Mapping[SeatKey, int],
    now_us: int,
    lease_end_us: int,
) -> list[Action]:
    """What to do now, in order. All times are microseconds of the agent's own clock.

    `orders` is the newest list, or None where none came since this agent began: then what runs
    is left alone. `deadlines` are the ends of grace of seats ordered to stop. Once the lease is
    over every seat is killed and none is started, whatever the orders say.
    """
    if now_us >= lease_end_us:
        return kill_all(local, LEASE_OVER)
    if orders is None:
        return []
    actions: list[Action] = []
    for key, seat in local.items():
        if key in orders:
            continue
        if seat.phase is not Phase.ENDED:
            actions += _kill(key, seat, NOT_ORDERED)
        elif seat.reported:
            actions.append(Forget(key))
    for key, order in orders.items():
        actions += _follow(order, local.get(key), deadlines.get(key), now_us)
    return actions


def too_late(now_us: int, lease_end_us: int, seat: Local) -> tuple[Outcome, str] | None:
    """Why a seat that is ready must not be started any more, as it is reported; None if it may.

    `seat` is read after the lease: under a lease taken anew, what was killed for the old one is
    known to be.
    """
    if seat.asked or seat.killed:
        return Outcome.STOPPED, "it was stopped before it started"
    if now_us >= lease_end_us:
        return Outcome.START_FAILED, "the node's lease ended before it could start"
    return None


def kill_all(local: Mapping[SeatKey, Local], why: str) -> list[Action]:
    """Kill whatever is not over and not yet killed."""
    return [action for key, seat in local.items() for action in _kill(key, seat, why)]


def _kill(key: SeatKey, seat: Local, why: str) -> Iterable[Action]:
    if seat.phase is not Phase.ENDED and not seat.killed:
        yield Kill(key, why)


def _follow(
    order: Order, seat: Local | None, deadline_us: int | None, now_us: int
) -> Iterable[Action]:
    """What one order asks for, given the seat it is about."""
    key = order.key
    if seat is not None and _unknown(order, seat) and now_us - seat.told_us >= RETELL_US:
        yield TellAgain(key)
    if seat is None:
        if order.started:
            yield ReportGone(key, Outcome.LOST, "no trace of it on the node")
        elif order.action == "run":
            yield Start(order)
        elif order.action != "wait":
            yield ReportGone(key, Outcome.STOPPED, "it never started")
    elif order.action == "kill":
        yield from _kill(key, seat, ORDERED)
    elif order.action == "stop" and seat.phase is not Phase.ENDED:
        if deadline_us is not None and now_us >= deadline_us:
            yield from _kill(key, seat, DEADLINE)
        elif not seat.asked and not seat.killed:
            yield AskToStop(key)


def _unknown(order: Order, seat: Local) -> bool:
    """Whether the cell lists the seat as if it had not been told what became of it."""
    if seat.phase is Phase.ENDED:
        return seat.reported
    return seat.phase is Phase.RUNNING and not order.started
