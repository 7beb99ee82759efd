"""Dry runs and outlooks: planned for real in a process of its own, nothing recorded."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api import shapes
from api.auth import Caller
from api.body import JobBody
from api.decisions import environment, refusal_of
from api.jobs import check_project, visible_job
from api.moment import asks
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Conflict, Invalid, Unavailable
from domain.job.transitions import Phase
from domain.scheduling.admission import check_deadline
from domain.scheduling.outlook import Deadline, Forecast
from domain.scheduling.reason import WaitReason
from domain.values.time import to_text
from infra.codec import to_builtins

router = APIRouter(route_class=StrictRoute, tags=["jobs"])
Reader = Annotated[Caller, Depends(asks(Permission.READ_JOBS, in_project=True))]
Submitter = Annotated[Caller, Depends(asks(Permission.SUBMIT_JOBS, in_project=True))]
TURNS = 2
TURN_SECONDS, ANSWER_SECONDS = 20.0, 60.0
"""How long one waits for a turn, and for the answer then."""
_turns = threading.BoundedSemaphore(TURNS)


class Ahead(BaseModel):
    id: str
    name: str
    project_id: str
    priority: int


class Change(BaseModel):
    """A change with which the job would start now, planned with; `to` are the new values."""

    kind: str
    text: str
    to: dict[str, Any]


class Outlook(BaseModel):
    """What a cycle does with a job at the time `at`, of the cell as of a position.

    `ahead` are the first of `ahead_total` that the policy looks at before it; `asks` counts jobs
    that would be asked to make room. Starts are estimated: the earliest if all end as estimated,
    the latest if they run as long as they may; null where that cannot be foreseen. `complete`
    is false if not every change could be tried in time.
    """

    position: int
    at: str
    forecast: Forecast
    nodes: list[str] = []
    reason: shapes.Reason | None = None
    field: str | None = None
    fix: str | None = None
    queue_position: int | None = None
    queued: int | None = None
    ahead: list[Ahead] = []
    ahead_total: int | None = None
    asks: int = 0
    earliest_start: str | None = None
    latest_start: str | None = None
    deadline: Deadline | None = None
    changes: list[Change] = []
    complete: bool = True


@router.post("/jobs:dry-run", response_model=Outlook)
def dry_run(body: JobBody, caller: Submitter) -> Outlook:
    """What submitting this job now would lead to: starts now, would wait, or can never run.

    With `as_of`, what it would have led to then.
    """
    spec, now = body.spec(), caller.now()
    with caller.cell.connection() as connection:
        check_project(caller, connection, spec.project)
    try:
        check_deadline(spec, now)
    except Invalid as late:
        at, never = caller.at, Forecast.CAN_NEVER_RUN
        position, told = caller.cell.store.head() if at is None else at, to_text(now)
        return Outlook(
            position=position, at=told, forecast=never, field="deadline", fix=late.detail
        )
    request = {"spec": to_builtins(spec), "user": caller.principal.name}
    return _outlook(caller, _compute(caller, "dryrun", request))


@router.post("/jobs/{job}/outlook", response_model=Outlook)
def outlook(job: str, caller: Reader) -> Outlook:
    """How a waiting job stands now: who is ahead, when it may start, what would start it.

    With `as_of`, how it stood then, planned on what was so then by the planner of today.
    """
    with caller.cell.connection() as connection:
        row = visible_job(caller, connection, job)
    if row.phase is not Phase.QUEUED:
        is_or_was = "is" if caller.at is None else "was"
        detail = f"the job {is_or_was} {row.phase}: only what waits has an outlook"
        raise Conflict("not_waiting", detail)
    return _outlook(caller, _compute(caller, "outlook", {"job": job}))


def _compute(caller: Caller, kind: str, request: dict[str, Any]) -> dict[str, Any]:
    """The result of a process that computes; its refusal as ours. Unavailable if it takes long.

    What is asked about the past is planned as of its position, at its time.
    """
    if caller.moment is not None:
        request |= {"end": str(caller.moment.position), "now": caller.moment.at}
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise Unavailable("outlook_busy", "many such questions are asked: try again later")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "processors.audit", kind],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            env=environment(caller.cell.settings.database_url),
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("outlook_failed", "planning took too long") from None
    finally:
        _turns.release()
    lines = done.stdout.splitlines()
    answer = json.loads(lines[-1]) if lines else {}
    if refused := answer.get("refusal"):
        raise refusal_of(refused)
    if "result" not in answer:
        raise Unavailable("outlook_failed", "planning ended without an answer")
    found: dict[str, Any] = answer["result"]
    return found


def _outlook(caller: Caller, found: dict[str, Any]) -> Outlook:
    """The answer; of jobs ahead only those the caller may see are named."""
    place, reason = found.pop("place", None), found.pop("reason", None)
    seen = caller.visible()
    ahead = [e for e in found.pop("ahead", ()) if seen is None or e["project_id"] in seen]
    times = {
        name: None if (at := found.pop(name, None)) is None else to_text(at)
        for name in ("at", "earliest_start", "latest_start")
    }
    return Outlook(
        **found,
        **times,
        reason=shapes.reason(None if reason is None else msgspec.convert(reason, WaitReason)),
        queue_position=place,
        ahead=[Ahead(**each) for each in ahead],
        ahead_total=None if place is None else place - 1,
    )
