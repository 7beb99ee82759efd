"""The event log: read in order, or followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api import shapes
from api.auth import Caller, requires
from api.cell import Cell
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Invalid, Unavailable

router = APIRouter(route_class=StrictRoute, tags=["log"])
Auditor = Annotated[Caller, Depends(requires(Permission.READ_LOG))]
POLL_SECONDS = 1.0
HEARTBEAT = b": still here\n\n"


class EventPage(BaseModel):
    """Events above `after`; `next_cursor` is the position to go on after."""

    items: list[shapes.LoggedEvent]
    next_cursor: str | None


def wants_stream(request: Request) -> bool:
    """Whether the caller asks for server-sent events."""
    return "text/event-stream" in request.headers.get("accept", "")


def resume_from(header: str | None, otherwise: int) -> int:
    """The position or offset of a Last-Event-ID header, if it is one."""
    if header is None:
        return otherwise
    if not (header.isascii() and header.isdigit()) or int(header) >= 2**63:
        detail = "last-event-id: send back an id as it came"
        raise Invalid("bad_event_id", detail, field="last-event-id")
    return int(header)


@router.get(
    "/events",
    response_model=EventPage,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def events(
    request: Request,
    caller: Auditor,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response | EventPage:
    """Recorded events in log order; as server-sent events they are followed for ever."""
    after = resume_from(last_event_id, after)
    if wants_stream(request):
        return StreamingResponse(_follow(caller.cell, after), media_type="text/event-stream")
    found = caller.cell.store.read(after, limit)
    cursor = str(found[-1].position) if len(found) == limit else None
    return EventPage(items=[shapes.event(item) for item in found], next_cursor=cursor)


async def _follow(cell: Cell, after: int) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    while True:
        try:
            found = await run_in_threadpool(cell.store.read, after, 500)
        except Unavailable:  # the answer has begun: wait it out
            found = []
            await asyncio.sleep(POLL_SECONDS)
        for item in found:
            after = item.position
            data = shapes.event(item).model_dump_json()
            yield f"id: {after}\nevent: {item.event.topic}\ndata: {data}\n\n".encode()
        if not found:
            await cell.views.changed(POLL_SECONDS)
            yield HEARTBEAT
