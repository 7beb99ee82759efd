"""Reservations: what is kept for whom and when, by name; also those that are over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.event import Recorded
from domain.reservation.events import Created, ReservationEvent
from domain.reservation.reservation import Reservation, evolve
from projections.view import Key, Reader, Row, View, kinds


class ReservationRow(Row, frozen=True, kw_only=True):
    """The newest reservation of a name; `state` is the aggregate, times in microseconds."""

    name: str
    state: Reservation
    created_by: str
    created_at: int
    created_in: int
    """The position of the event that made it: earlier ones choose their nodes first."""


def _touches(recorded: Recorded) -> Iterable[Key]:
    if not isinstance(recorded.event, ReservationEvent):
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: ReservationRow | None, _key: Key, recorded: Recorded) -> ReservationRow:
    event: Any = recorded.event
    state = evolve(row.state if row else None, event)
    made = row if row and not isinstance(event, Created) else None
    return ReservationRow(
        position=recorded.position,
        name=state.name,
        state=state,
        created_by=made.created_by if made else recorded.meta.actor,
        created_at=made.created_at if made else recorded.recorded_at,
        created_in=made.created_in if made else recorded.position,
    )


VIEW = View(
    name="reservations",
    row=ReservationRow,
    key=("name",),
    on=kinds(ReservationEvent),
    touches=_touches,
    fold=_fold,
)


def find(connection: Reader, at: int | None = None) -> list[ReservationRow]:
    """Every reservation in the order they were made, now or at a position."""
    query = f"SELECT * FROM {VIEW.at(at)} v ORDER BY created_in"
    return [VIEW.read(record) for record in connection.execute(query.encode()).fetchall()]
