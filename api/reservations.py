"""Reservations and maintenance windows: made, listed and cancelled by operators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from api.auth import Caller, requires
from api.body import Body, Name, Seconds
from api.cell import Connection
from api.cluster import Reader
from api.command import Command
from api.jobs import IdempotencyKey
from api.strict import StrictRoute
from api.when import When
from domain.access import Permission
from domain.errors import Invalid, NotFound
from domain.node.node import Node, pool_of
from domain.reservation import reservation as reservations
from domain.reservation.events import ReservationEvent, Terms
from domain.reservation.reservation import MAX_GPUS, MAX_JOBS, MAX_NAMED, Reservation
from domain.reservation.schedule import Schedule
from domain.scheduling.node_state import NodeState
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.windows import Windows
from domain.values.ids import JobId, NodeId, ProjectId
from domain.values.time import YEAR_SECONDS, from_datetime, to_text
from infra.store import stream_of
from projections import jobs as job_view
from projections import nodes as node_view
from projections import projects as project_view
from projections import reservations as view
from projections.reservations import ReservationRow

router = APIRouter(route_class=StrictRoute, tags=["reservations"])
Operator = Annotated[Caller, Depends(requires(Permission.OPERATE_NODES))]
Named = Annotated[StrictStr, Field(min_length=1, max_length=256)]
Names = Annotated[list[Named], Field(max_length=MAX_NAMED)]
Length = Annotated[StrictInt, Field(ge=1, le=YEAR_SECONDS)]


class ReservationBody(Body):
    """What to keep, when and for whom: nodes by name or a number of GPUs; or maintenance."""

    name: Name
    start: When
    duration_seconds: Length
    every_seconds: Length | None = None
    until: When | None = None
    nodes: Names = []
    gpus: Annotated[StrictInt, Field(ge=0, le=MAX_GPUS)] = 0
    gpu_type: Annotated[StrictStr, Field(max_length=63)] = ""
    pool: Annotated[StrictStr, Field(max_length=63)] = ""
    projects: Names = []
    users: Names = []
    jobs: Annotated[list[Named], Field(max_length=MAX_JOBS)] = []
    maintenance: StrictBool = False
    notice_seconds: Seconds = 24 * 3600
    reason: Annotated[StrictStr, Field(max_length=500)] = ""

    def value(self) -> Terms:
        """The terms as the domain knows them."""
        schedule = Schedule(
            _moment("start", self.start),
            self.duration_seconds,
            self.every_seconds,
            None if self.until is None else _moment("until", self.until),
        )
        return Terms(
            schedule,
            nodes=tuple(map(NodeId, self.nodes)),
            gpus=self.gpus,
            gpu_type=self.gpu_type.upper(),
            pool=self.pool,
            projects=tuple(map(ProjectId, self.projects)),
            users=tuple(self.users),
            jobs=tuple(map(JobId, self.jobs)),
            maintenance=self.maintenance,
            notice_seconds=self.notice_seconds,
            reason=self.reason,
        )


class Window(BaseModel):
    """A time at which a reservation holds, and the nodes it keeps then as things stand."""

    start: str
    end: str
    nodes: list[str]


class ReservationAnswer(BaseModel):
    """A reservation; `state` is scheduled, active (within a window), over or cancelled.

    `window` is the one under way or next. Projects, users and jobs that the caller may not see
    are left out.
    """

    name: str
    state: str
    window: Window | None
    start: str
    duration_seconds: int
    every_seconds: int | None
    until: str | None
    nodes: list[str]
    gpus: int
    gpu_type: str
    pool: str
    projects: list[str]
    users: list[str]
    jobs: list[str]
    maintenance: bool
    notice_seconds: int
    reason: str
    created_by: str
    created_at: str


class ReservationList(BaseModel):
    items: list[ReservationAnswer]


class ReservationChanged(BaseModel):
    name: str
    state: str
    position: int


@router.post("/reservations", status_code=202, response_model=ReservationChanged)
def create(body: ReservationBody, caller: Operator, key: IdempotencyKey) -> Response:
    """Keep nodes for some on a schedule, or for nobody while they are maintained."""
    command = Command(caller, key, None, 202)
    terms, now = body.value(), command.store.now()
    reservations.check_terms(terms)
    with caller.cell.connection() as connection:
        _check_names(connection, terms)

    def decide(state: Reservation | None) -> list[ReservationEvent]:
        return reservations.create(state, body.name, terms, now)

    return command.execute(
        stream_of("reservation", body.name),
        reservations.evolve,
        None,
        decide,
        lambda state: _changed(state, now),
    )


@router.get("/reservations", response_model=ReservationList)
def find(
    caller: Reader,
    past: Annotated[bool, Query(description="also those that are over or cancelled")] = False,
) -> ReservationList:
    """Reservations in the order they were made, each with its window under way or next."""
    now = caller.now()
    with caller.cell.connection() as connection:
        rows = view.find(connection, caller.at)
        seen = _seen(connection, rows, caller.at, now)
    shown = [row for row in rows if past or not row.state.is_over(now)]
    return ReservationList(items=[_answer(row, seen, caller, now) for row in shown])


@router.get("/reservations/{reservation}", response_model=ReservationAnswer)
def one(reservation: str, caller: Reader) -> ReservationAnswer:
    """One reservation by its name."""
    now = caller.now()
    with caller.cell.connection() as connection:
        rows = view.find(connection, caller.at)
        seen = _seen(connection, rows, caller.at, now)
    for row in rows:
        if row.name == reservation:
            return _answer(row, seen, caller, now)
    raise NotFound("no_such_reservation", "there is no such reservation")


@router.delete("/reservations/{reservation}", status_code=202, response_model=ReservationChanged)
def cancel(reservation: str, caller: Operator, key: IdempotencyKey) -> Response:
    """Keep nothing any more; a window under way is over."""
    command = Command(caller, key, None, 202)
    now = command.store.now()

    def decide(state: Reservation | None) -> list[ReservationEvent]:
        if state is None:
            raise NotFound("no_such_reservation", "there is no such reservation")
        return reservations.cancel(state, now)

    return command.execute(
        stream_of("reservation", reservation),
        reservations.evolve,
        None,
        decide,
        lambda state: _changed(state, now),
    )


def _moment(field: str, at: datetime) -> int:
    if at.tzinfo is None:
        raise Invalid("no_time_zone", f"{field}: add a time zone, such as Z", field=field)
    return from_datetime(at)


def _check_names(connection: Connection, terms: Terms) -> None:
    """Refuse names of what is not there: a slip would keep nothing, or admit nobody."""
    rows = {found.row.id: found.row for found in node_view.find(connection)}
    known = {
        "nodes": rows.keys(),
        "projects": {row.id for row in project_view.find(connection, None)},
        "jobs": {job for job in terms.jobs if job_view.get(connection, job) is not None},
    }
    for field, names in known.items():
        for number, name in enumerate(getattr(terms, field)):
            if name not in names:
                where = f"{field}[{number}]"
                raise Invalid("unknown_name", f"{where}: there is no {name}", field=where)
    models = [
        device.model
        for row in rows.values()
        if not terms.pool or pool_of(row.offer) == terms.pool
        for device in row.offer.devices
        if not device.mig
    ]
    has = models.count(terms.gpu_type) if terms.gpu_type else len(models)
    if terms.gpus > has:
        detail = f"gpus: there are only {has} such GPUs"
        raise Invalid("too_few_gpus", detail, field="gpus")


def _seen(connection: Connection, rows: list[ReservationRow], at: int | None, now: int) -> Windows:
    """What the reservations keep, as the scheduler would see it."""
    nodes = {}
    for found in node_view.find(connection, at):
        row = found.row
        node = Node(NodeId(row.id), row.offer, row.alive, row.cordoned)
        nodes[node.id] = NodeState(node)
    live = {row.name: row.state for row in rows}
    return Windows(Snapshot(nodes=nodes, reservations=live), now)


def _state(reservation: Reservation, now: int) -> str:
    span = reservation.terms.schedule.next_after(now)
    if reservation.cancelled or span is None:
        return "cancelled" if reservation.cancelled else "over"
    return "active" if span[0] <= now else "scheduled"


def _changed(reservation: Reservation | None, now: int) -> dict[str, object]:
    assert reservation is not None
    return {"name": reservation.name, "state": _state(reservation, now)}


def _answer(row: ReservationRow, seen: Windows, caller: Caller, now: int) -> ReservationAnswer:
    terms, window = row.state.terms, None
    number = next((n for n, one in enumerate(seen.live) if one.name == row.name), None)
    span = terms.schedule.next_after(now)
    if number is not None and span is not None:
        nodes = sorted(seen.nodes(number, span))
        window = Window(start=to_text(span[0]), end=to_text(span[1]), nodes=list(nodes))
    visible = caller.visible()
    everything = visible is None
    return ReservationAnswer(
        name=row.name,
        state=_state(row.state, now),
        window=window,
        start=to_text(terms.schedule.start),
        duration_seconds=terms.schedule.seconds,
        every_seconds=terms.schedule.every_seconds,
        until=None if terms.schedule.until is None else to_text(terms.schedule.until),
        nodes=list(terms.nodes),
        gpus=terms.gpus,
        gpu_type=terms.gpu_type,
        pool=terms.pool,
        projects=[name for name in terms.projects if visible is None or name in visible],
        users=[name for name in terms.users if everything or name == caller.principal.name],
        jobs=list(terms.jobs) if everything else [],
        maintenance=terms.maintenance,
        notice_seconds=terms.notice_seconds,
        reason=terms.reason,
        created_by=row.created_by,
        created_at=to_text(row.created_at),
    )
