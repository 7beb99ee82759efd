"""What jobs print: streamed until the job ends, resumable to the byte."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth import Caller, requires
from api.cell import Cell
from api.jobs import visible_job
from api.log import HEARTBEAT, resume_from, wants_stream
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Unavailable
from domain.job.transitions import ENDED
from infra import joblogs
from projections import jobs as job_view

router = APIRouter(route_class=StrictRoute, tags=["jobs"])
Listener = Annotated[Caller, Depends(requires(Permission.READ_JOBS, in_project=True))]
CHUNK = 256 * 1024
EVENT_BYTES = 12 * 1024
"""At most in one event: who is cut off loses what came of an unfinished event, and asks again."""
POLL_SECONDS = 1.0


@router.get(
    "/jobs/{job}/logs",
    responses={200: {"content": {"text/plain": {}, "text/event-stream": {}}}},
    response_class=StreamingResponse,
)
def logs(
    request: Request,
    job: str,
    caller: Listener,
    follow: bool = False,
    offset: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    rank: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> StreamingResponse:
    """The output of one rank over all attempts, from `offset` bytes on.

    Plain text, or server-sent events (data: base64 of bytes, id: the offset after them) when
    Accept asks for it. With `follow` it ends when the job has ended and all was sent.
    """
    with caller.cell.connection() as connection:
        visible_job(caller, connection, job)
    start = resume_from(last_event_id, offset)
    output = _output(caller.cell, job, rank, start, follow=follow)
    if wants_stream(request):
        return StreamingResponse(_as_events(output, start), media_type="text/event-stream")
    return StreamingResponse(_as_text(output), media_type="text/plain; charset=utf-8")


async def _output(
    cell: Cell, job: str, rank: int, offset: int, *, follow: bool
) -> AsyncIterator[bytes]:
    """Pieces of output; an empty piece is a sign of life while there is nothing new."""
    while True:
        try:
            ended = await run_in_threadpool(_ended, cell, job)
            while piece := await run_in_threadpool(_read, cell, job, rank, offset):
                offset += len(piece)
                yield piece
        except Unavailable:  # the answer has begun: who follows waits it out
            if not follow:
                raise
            ended = False
            await asyncio.sleep(POLL_SECONDS)
        if ended or not follow:
            return
        await cell.logs.changed(POLL_SECONDS)
        yield b""


def _ended(cell: Cell, job: str) -> bool:
    """Asked before reading: whatever is printed is kept before the end is reported."""
    with cell.connection() as connection:
        row = job_view.get(connection, job)
    # A database that crashed may show the job a moment later again: read models are rebuilt.
    return row is not None and row.state.phase in ENDED


def _read(cell: Cell, job: str, rank: int, offset: int) -> bytes:
    with cell.connection() as connection:
        return joblogs.read(connection, job, rank, offset, CHUNK)


async def _as_text(output: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in output:
        if piece:
            yield piece


async def _as_events(output: AsyncIterator[bytes], offset: int) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for piece in output:
        for start in range(0, len(piece), EVENT_BYTES):
            part = piece[start : start + EVENT_BYTES]
            offset += len(part)
            yield b"id: %d\ndata: %s\n\n" % (offset, base64.b64encode(part))
        if not piece:
            yield HEARTBEAT
    yield b"event: end\ndata: \n\n"
