"""Audit: decisions recomputed, explained and rehearsed, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr
from starlette.types import Receive, Scope, Send

from api.body import Body, Name
from api.log import Auditor
from api.strict import StrictRoute
from domain import errors
from domain.errors import Conflict, Refusal, Unavailable

router = APIRouter(route_class=StrictRoute, tags=["audit"])
LINES = "application/x-ndjson"
Moment = Annotated[
    StrictStr, Field(max_length=40, description="a position of the log, or a time with its zone")
]
Limit = Annotated[StrictInt, Field(ge=0, le=2**62)]


class ReplayBody(Body):
    """The stretch to replay: all of the log unless said otherwise."""

    begin: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="to")
    use_kept: StrictBool = Field(
        False, description="begin from a kept state instead of the log's first event"
    )


class ExplainBody(Body):
    """The job to explain, and as of when: now unless said otherwise."""

    job: Name
    at: Moment | None = None


class QuotaBody(Body):
    """A project's limits in the rehearsal; none for what is left out."""

    gpu: Annotated[StrictInt, Field(ge=0, le=2**40)] | None = None
    cpu_milli: Limit | None = None
    memory_bytes: Limit | None = None


class FleetBody(Body):
    """More nodes like the largest with such GPUs, or fewer if negative; no model: without GPUs."""

    count: Annotated[StrictInt, Field(ge=-10_000, le=10_000)]
    model: Annotated[StrictStr, Field(max_length=63)] = ""


class WhatIfBody(Body):
    """A stretch of the log and what is to be other than recorded."""

    begin: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="to")
    policy: dict[Name, Any] | None = Field(None, description="scheduler settings by name")
    quotas: dict[Name, QuotaBody] = {}
    nodes: Annotated[list[FleetBody], Field(max_length=32)] = []


class Line(BaseModel):
    """One line of the answer: how far it has come, or at last the result or why there is none."""

    progress: int | None = None
    of: int | None = None
    result: dict[str, Any] | None = None
    refusal: dict[str, str] | None = None


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON lines: progress now and then, the result at the end.",
        "content": {LINES: {"schema": Line.model_json_schema()}},
    }
}
_turn = threading.Lock()


@router.post("/audit/replay", responses=_ANSWER, response_class=StreamingResponse)
async def replay(body: ReplayBody, caller: Auditor) -> StreamingResponse:
    """Compute every recorded decision of the scheduler anew and name the first difference."""
    return await _answer(caller.cell.settings.database_url, "replay", body.model_dump())


@router.post("/audit/explain", responses=_ANSWER, response_class=StreamingResponse)
async def explain(body: ExplainBody, caller: Auditor) -> StreamingResponse:
    """Say what was decided about a job and why, as of a moment, recomputed from the log."""
    request = {"job": body.job, "end": body.at}
    return await _answer(caller.cell.settings.database_url, "explain", request)


@router.post("/audit/whatif", responses=_ANSWER, response_class=StreamingResponse)
async def whatif(body: WhatIfBody, caller: Auditor) -> StreamingResponse:
    """Rehearse the recorded submissions under another policy, quota or fleet."""
    quotas = {
        name: {
            "gpu_milli": None if quota.gpu is None else quota.gpu * 1000,
            "cpu_milli": quota.cpu_milli,
            "memory_bytes": quota.memory_bytes,
        }
        for name, quota in body.quotas.items()
    }
    nodes = [fleet.model_dump() for fleet in body.nodes]
    wish = {"policy": body.policy, "quotas": quotas, "nodes": nodes}
    request = {"begin": body.begin, "end": body.end, "wish": wish}
    return await _answer(caller.cell.settings.database_url, "whatif", request)


class _Lines(StreamingResponse):
    """The lines as they come; the process ends with the answer, whoever ends that."""

    def __init__(self, first: bytes, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(self._all(first), media_type=LINES)
        self._lines = lines

    async def _all(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        async for line in self._lines:
            yield line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._lines.aclose()


async def _answer(dsn: str, kind: str, request: dict[str, Any]) -> StreamingResponse:
    """The lines of a process that computes; its refusal as ours if it refuses at once.

    One at a time: Conflict `audit_busy` for a second.
    """
    if not _turn.acquire(blocking=False):
        raise Conflict("audit_busy", "an audit is running: try again when it has ended")
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "processors.audit", kind),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(dsn),
            limit=1 << 26,
        )
    except BaseException:
        _turn.release()
        raise
    lines = _lines(process, json.dumps(request).encode())
    try:
        first = await anext(lines, None)
        if first is None:
            raise Unavailable("audit_failed", "the audit ended without an answer")
        refused = json.loads(first).get("refusal")
        if refused:
            raise refusal_of(refused)
    except BaseException:
        await lines.aclose()
        raise
    return _Lines(first, lines)


def environment(dsn: str) -> dict[str, str]:
    """What a process that computes is started with."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "COMPUTE_DATABASE_URL": dsn, "PYTHONPATH": paths}


async def _lines(
    process: asyncio.subprocess.Process, request: bytes
) -> AsyncGenerator[bytes, None]:
    """What the process says; it ends when nobody listens any more."""
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.close()
        async for line in process.stdout:
            yield line
    finally:
        if process.returncode is None:
            process.kill()
        _turn.release()  # without waiting for its end: whoever left may be cancelled here


def refusal_of(found: dict[str, str]) -> Refusal:
    """The refusal that a process told."""
    kind = getattr(errors, found["kind"], Conflict)
    facts = {"field": found["field"]} if found["field"] else {}
    refusal: Refusal = kind(found["code"], found["detail"], **facts)
    return refusal
