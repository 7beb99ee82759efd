"""The reservation aggregate: one stream for each name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import assert_never

from domain.errors import Conflict, Invalid
from domain.reservation import events as e
from domain.reservation.events import ReservationEvent, Terms
from domain.values.checks import between
from domain.values.ids import check_name
from domain.values.time import YEAR_SECONDS

MAX_NAMED = 10_000
"""Nodes, projects or users in one reservation."""
MAX_JOBS = 100
MAX_GPUS = 1_000_000


@dataclass(frozen=True)
class Reservation:
    """A reservation as its events left it."""

    name: str
    terms: Terms
    cancelled: bool = False

    def is_over(self, now: int) -> bool:
        """Whether it keeps nothing any more, now or later."""
        return self.cancelled or self.terms.schedule.next_after(now) is None


def evolve(reservation: Reservation | None, event: ReservationEvent) -> Reservation:
    """The reservation after the event."""
    match event:
        case e.Created(reservation=name, terms=terms):
            return Reservation(name, terms)
        case e.Cancelled():
            assert reservation is not None, "a reservation's first event is reservation.created"
            return replace(reservation, cancelled=True)
        case _:
            assert_never(event)


def create(
    reservation: Reservation | None, name: str, terms: Terms, now: int
) -> list[ReservationEvent]:
    """Keep something under a name that is free: never used, cancelled, or over."""
    check_name("name", name)
    if reservation is not None and not reservation.is_over(now):
        raise Conflict("reservation_exists", f"reservation {name} exists: cancel it first")
    check_terms(terms)
    if terms.schedule.next_after(now) is None:
        raise Invalid("already_over", "start: its window is over already", field="start")
    return [e.Created(name, terms)]


def cancel(reservation: Reservation, now: int, reason: str = "") -> list[ReservationEvent]:
    """Keep nothing any more."""
    if reservation.is_over(now):
        raise Conflict("reservation_over", f"reservation {reservation.name} is over already")
    return [e.Cancelled(reason)]


def over_and_gone(reservations: Collection[Reservation], now: int) -> list[str]:
    """Those that are over and overlapped no window under way: nobody's nodes depend on them."""
    over = [each for each in reservations if each.is_over(now)]
    current = [each.terms.schedule.next_after(now) for each in reservations]
    since = min([now, *(span[0] for span in current if span is not None)])
    while touching := [s for each in over for s in each.terms.schedule.touching(since, now)]:
        over = [each for each in over if not each.terms.schedule.touching(since, now)]
        since = min(since, *(span[0] for span in touching))
    return [each.name for each in over]


def check_terms(terms: Terms) -> None:
    """Refuse terms that keep nothing, or not for anybody one could tell."""
    between("gpus", terms.gpus, 0, MAX_GPUS)
    between("notice_seconds", terms.notice_seconds, 0, YEAR_SECONDS)
    for field in ("nodes", "projects", "users", "jobs"):
        named, most = getattr(terms, field), MAX_JOBS if field == "jobs" else MAX_NAMED
        if len(named) > most:
            raise Invalid("too_large", f"{field}: at most {most}", field=field)
        if len(set(named)) != len(named):
            raise Invalid("named_twice", f"{field}: name each once", field=field)
    if bool(terms.nodes) == bool(terms.gpus):
        detail = "nodes: name nodes, or say with gpus how many GPUs to keep; one of both"
        raise Invalid("bad_reservation", detail, field="nodes")
    if terms.nodes and (terms.gpu_type or terms.pool):
        field = "gpu_type" if terms.gpu_type else "pool"
        detail = f"{field}: leave it out where nodes are named"
        raise Invalid("bad_reservation", detail, field=field)
    admitted = bool(terms.projects or terms.users or terms.jobs)
    if terms.maintenance and admitted:
        field = next(name for name in ("projects", "users", "jobs") if getattr(terms, name))
        detail = f"{field}: nobody is admitted to maintenance"
        raise Invalid("bad_reservation", detail, field=field)
    if not terms.maintenance and not admitted:
        detail = "projects: say whom it is for (projects, users or jobs), or that it is maintenance"
        raise Invalid("bad_reservation", detail, field="projects")
    if terms.maintenance and not terms.nodes:
        raise Invalid("bad_reservation", "nodes: name those of the maintenance", field="nodes")
