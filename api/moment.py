"""`as_of`: which moment of the past a query is about."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials

from api.auth import Caller, Requires, scheme
from api.cell import Cell, Connection
from domain.access import Permission
from domain.errors import Invalid
from domain.values.time import HOUR, MINUTE, SECOND, from_datetime, to_text
from infra.moments import Moment, Reach, at_position, at_time, reach

FIELD = "as_of"
_AGO = re.compile(r"-([0-9]{1,12})([smhd])")
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": 24 * HOUR}
_ABOUT = (
    "show what was so at a moment of the past: a log position, an RFC 3339 time with its zone, or"
    " -90s, -10m, -2h, -3d before now; the answer's Log-Position and As-Of say which it was"
)
_FORMS = (
    "as_of: give a log position such as 812, a time such as 2026-11-24T08:00:00Z (a + as %2B),"
    " or how long ago: -90s, -10m, -2h, -3d"
)


class Asks(Requires):
    """A query's declared permission; the caller's `moment` is the one it asks about."""

    def __call__(  # type: ignore[override]  # a query takes more than a command
        self,
        request: Request,
        response: Response,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)],
        min_position: Annotated[
            int, Query(ge=0, le=2**63 - 1, description="wait until reads show this position")
        ] = 0,
        as_of: Annotated[str | None, Query(max_length=64, description=_ABOUT)] = None,
    ) -> Caller:
        caller = super().__call__(request, credentials, min_position)
        if as_of is None:
            return caller
        moment = find(caller.cell, as_of)
        response.headers["Log-Position"] = str(moment.position)
        response.headers["As-Of"] = to_text(moment.at)
        return replace(caller, moment=moment)


def asks(permission: Permission, *, in_project: bool = False) -> Asks:
    """Declare a query's permission, as `requires` does, and that it takes `as_of`."""
    return Asks(permission, in_project)


def find(cell: Cell, text: str) -> Moment:
    """The moment that `text` names, once the read models show it. Invalid if there is none."""
    with cell.connection() as connection:
        moment = _parse(connection, text, reach(connection))
    cell.wait_for(moment.position)
    return moment


def _parse(connection: Connection, text: str, known: Reach) -> Moment:
    if text.isascii() and text.isdigit():
        moment = _position(connection, int(text), known)
    else:
        moment = at_time(connection, _time(text, known))
    if moment.position < known.kept_from:
        raise Invalid(
            "history_gone",
            f"as_of: history is kept from position {known.kept_from} on; ask for a later moment",
            field=FIELD,
            kept_from=known.kept_from,
        )
    return moment


def _position(connection: Connection, position: int, known: Reach) -> Moment:
    if position > known.head:
        detail = f"as_of: the log ends at {known.head}: ask for a position up to it"
        raise Invalid("beyond_the_log", detail, field=FIELD)
    return at_position(connection, position)


def _time(text: str, known: Reach) -> int:
    ago = _AGO.fullmatch(text)
    at = known.now - int(ago[1]) * _UNITS[ago[2]] if ago else _instant(text)
    if at > known.now:
        detail = f"as_of: {text} is yet to come; it is {to_text(known.now)}"
        raise Invalid("in_the_future", detail, field=FIELD)
    if at < 0:
        raise Invalid("out_of_range", "as_of: must lie after 1970", field=FIELD)
    return at


def _instant(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("bad_as_of", _FORMS, field=FIELD) from None
    if at.tzinfo is None:
        raise Invalid("no_time_zone", "as_of: add a time zone, such as Z", field=FIELD)
    return from_datetime(at)
