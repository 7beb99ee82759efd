"""The allocation aggregate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from domain.allocation import events as e
from domain.allocation.events import AllocationEvent
from domain.allocation.seat import Outcome, Seat
from domain.errors import Conflict, NotFound, StaleWriter
from domain.values.copies import replace
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.resources import Resources


@dataclass(frozen=True)
class SeatEnd:
    """How a seat ended."""

    outcome: Outcome
    exit_code: int | None
    detail: str


@dataclass(frozen=True)
class Allocation:
    """An allocation as its events left it; `ends` and `started` are by rank."""

    id: AllocationId
    job: JobId
    attempt: int
    seats: tuple[Seat, ...]
    boots: tuple[str, ...]
    per_seat: Resources
    exclusive: bool = False
    started: frozenset[int] = frozenset()
    ends: tuple[tuple[int, SeatEnd], ...] = ()
    released: bool = False

    def end_of(self, rank: int) -> SeatEnd | None:
        """How the seat ended, or None while it has not."""
        return next((end for r, end in self.ends if r == rank), None)

    @property
    def all_started(self) -> bool:
        return len(self.started) == len(self.seats)

    @property
    def all_ended(self) -> bool:
        return len(self.ends) == len(self.seats)

    @property
    def deciding_end(self) -> SeatEnd | None:
        """The end that decides the attempt's: the first that is not a success, else the last.

        A seat that was stopped because another had failed does not decide.
        """
        bad = [end for _, end in self.ends if end.outcome is not Outcome.EXITED or end.exit_code]
        own = [end for end in bad if end.outcome is not Outcome.STOPPED]
        return next(iter(own or bad), self.ends[-1][1] if self.ends else None)


def evolve(allocation: Allocation | None, event: AllocationEvent) -> Allocation:
    """The allocation after the event."""
    if isinstance(event, e.Granted):
        return Allocation(
            event.allocation,
            event.job,
            event.attempt,
            event.seats,
            event.boots,
            event.per_seat,
            event.exclusive,
        )
    assert allocation is not None, "an allocation's first event is allocation.granted"
    match event:
        case e.SeatStarted(rank=rank):
            return replace(allocation, started=allocation.started | {rank})
        case e.SeatEnded(rank=rank, outcome=outcome, exit_code=code, detail=detail):
            end = SeatEnd(outcome, code, detail)
            return replace(allocation, ends=(*allocation.ends, (rank, end)))
        case e.SeatLost(rank=rank, node=node):
            end = SeatEnd(Outcome.LOST, None, f"node {node} was lost")
            return replace(allocation, ends=(*allocation.ends, (rank, end)))
        case e.Released():
            return replace(allocation, released=True)
        case _:
            assert_never(event)


def grant(
    allocation: AllocationId,
    job: JobId,
    attempt: int,
    seats: tuple[Seat, ...],
    boots: tuple[str, ...],
    per_seat: Resources,
    *,
    gpu_model: str,
    user: str,
    exclusive: bool = False,
    labels: tuple[tuple[str, str], ...] = (),
    terms: e.Terms | None = None,
    payer: str = "",
) -> list[AllocationEvent]:
    """Give the attempt its seats."""
    if [seat.rank for seat in seats] != list(range(len(seats))) or len(boots) != len(seats):
        raise Conflict("bad_seats", "seats are ranked from 0, each with its node's boot")
    granted = e.Granted(
        allocation,
        job,
        attempt,
        seats,
        boots,
        per_seat,
        gpu_model,
        user,
        exclusive,
        labels,
        terms,
        payer,
    )
    return [granted]


def check_seat(allocation: Allocation, rank: int, node: NodeId, session: str) -> None:
    """Refuse a report about a seat that is not this session's of this node."""
    if not 0 <= rank < len(allocation.seats) or allocation.seats[rank].node != node:
        raise NotFound("no_such_seat", f"node {node} has no seat {rank} of {allocation.id}")
    if allocation.boots[rank] != session:
        detail = "the seat was granted to another boot of this node, or its lease was lost"
        raise StaleWriter("stale_boot", detail)


def seat_started(
    allocation: Allocation, rank: int, node: NodeId, session: str, runner: str
) -> list[AllocationEvent]:
    """The agent reports a seat running; said twice, it is recorded once."""
    check_seat(allocation, rank, node, session)
    if allocation.end_of(rank) is not None or rank in allocation.started:
        return []
    return [e.SeatStarted(rank, runner)]


def seat_ended(
    allocation: Allocation, rank: int, node: NodeId, session: str, end: SeatEnd
) -> list[AllocationEvent]:
    """The agent reports the end of a seat; said twice, it is recorded once."""
    check_seat(allocation, rank, node, session)
    if allocation.end_of(rank) is not None:
        return []
    return [e.SeatEnded(rank, end.outcome, end.exit_code, end.detail)]


def lose_seat(allocation: Allocation, rank: int) -> list[AllocationEvent]:
    """The seat's node is lost."""
    if allocation.end_of(rank) is not None:
        return []
    return [e.SeatLost(rank, allocation.seats[rank].node)]


def release(allocation: Allocation, project: ProjectId) -> list[AllocationEvent]:
    """Free the resources, once every seat ended."""
    if allocation.released:
        return []
    if not allocation.all_ended:
        raise Conflict("seats_running", "a gang is released whole, after its last seat ended")
    return [
        e.Released(
            allocation.id,
            allocation.job,
            project,
            allocation.seats,
            allocation.per_seat,
        )
    ]
