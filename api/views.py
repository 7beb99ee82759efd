"""Read models: how far each has come, and building one anew beside itself."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel

from api.auth import Caller, requires
from api.log import Auditor
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import NotFound
from infra import quarantine
from projections import rebuilds
from projections.rebuilds import Progress

router = APIRouter(route_class=StrictRoute, tags=["views"])
Rebuilder = Annotated[Caller, Depends(requires(Permission.REBUILD_VIEWS))]


class Rebuild(BaseModel):
    """The newest rebuild: goes on while it has neither end nor error."""

    position: int
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    error: str | None


class View(BaseModel):
    """A read model; `lag` is how many events of the log it does not show yet.

    `quarantined` is how many streams it holds back (`GET /quarantine`).
    """

    view: str
    position: int
    lag: int
    quarantined: int
    rebuild: Rebuild | None


class Views(BaseModel):
    items: list[View]
    head: int


@router.get("/views", response_model=Views)
def views(caller: Auditor) -> Views:
    """Every read model, how far it has come, and its newest rebuild."""
    with caller.cell.connection() as connection:
        found, held = rebuilds.find(connection), quarantine.counts(connection)
    head = caller.cell.store.head()
    return Views(items=[_view(each, head, held) for each in found], head=head)


@router.post("/views/{view}/rebuild", status_code=202, response_model=View)
def rebuild(view: str, caller: Rebuilder) -> Response:
    """Build a read model anew from the log, beside the one in use, and exchange them at the end.

    One that is going on goes on.
    """
    caller.cell.space.check()
    with caller.cell.connection() as connection:
        known = [each.view for each in rebuilds.find(connection)]
        if view not in known:
            near = get_close_matches(view, known, 1) or known
            names = ", ".join(near)
            raise NotFound("no_such_view", f"there is no such read model; there is {names}")
        rebuilds.request(connection, view, caller.principal.name)
        [found] = rebuilds.find(connection, view)
        held = quarantine.counts(connection)
    shown = _view(found, caller.cell.store.head(), held)
    return Response(shown.model_dump_json(), 202, media_type="application/json")


def _view(found: Progress, head: int, held: dict[str, int]) -> View:
    facts: dict[str, Any] | None = None if found.rebuild is None else vars(found.rebuild)
    newest = None if facts is None else Rebuild(**facts)
    lag = max(0, head - found.position)
    return View(
        view=found.view,
        position=found.position,
        lag=lag,
        quarantined=held.get(found.view, 0),
        rebuild=newest,
    )
