"""Jobs: submit, look, control."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api import shapes
from api.after import ends_of
from api.auth import Caller, requires
from api.body import BatchBody, JobBody, MigrateBody, PriorityBody
from api.cell import Connection
from api.command import Command, Key, idempotency_key
from api.moment import asks
from api.standing import inherited
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Invalid, NotFound
from domain.event import Event, Recorded
from domain.job import job as jobs
from domain.job import migrate as moves
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.scheduling.admission import Fleet
from domain.scheduling.migrate import check_node
from domain.values.ids import JobId, NodeId
from domain.values.time import SECOND
from infra.ids import fresh
from infra.store import Change, stream_of
from projections import jobs as job_view
from projections import nodes as node_view
from projections import policy as policy_view
from projections import projects as project_view
from projections import queue as queue_view
from projections.jobs import Filter, JobRow

Made = TypeVar("Made")
router = APIRouter(route_class=StrictRoute, tags=["jobs"])
Reader = Annotated[Caller, Depends(asks(Permission.READ_JOBS, in_project=True))]
Submitter = Annotated[Caller, Depends(requires(Permission.SUBMIT_JOBS, in_project=True))]
Controller = Annotated[Caller, Depends(requires(Permission.CONTROL_JOBS, in_project=True))]
IdempotencyKey = Annotated[Key, Depends(idempotency_key)]
Answer = TypeVar("Answer")


class JobPage(BaseModel):
    items: list[shapes.Job]
    next_cursor: str | None


class Submitted(BaseModel):
    items: list[dict[str, str]]
    position: int


def visible_job(caller: Caller, connection: Connection, job: str) -> JobRow:
    """The job's row if the caller may do the route's thing to it; else NotFound or Denied."""
    row = job_view.get(connection, job, caller.at)
    if row is None:
        raise NotFound("no_such_job", "there is no such job")
    caller.within(row.project, unseen="job")
    return row


def _new_job(caller: Caller, spec: JobSpec, now: int) -> tuple[JobId, Sequence[Event]]:
    job, ended = JobId(fresh("job", now)), ends_of(caller.cell.store, spec)
    return job, jobs.submit(job, spec, caller.principal.name, now, ended)


def check_project(caller: Caller, connection: Connection, project: str) -> None:
    """Go on only if the caller may do the route's thing in the project, and there is such one."""
    caller.within(project)
    if not project_view.find(connection, [project], caller.at):
        raise NotFound("no_such_project", "there is no such project")


@router.post("/jobs", status_code=201, response_model=shapes.Job)
def submit(body: JobBody, caller: Submitter, key: IdempotencyKey) -> Response:
    """Submit a job."""
    spec = body.spec()
    with caller.cell.connection() as connection:
        check_project(caller, connection, spec.project)
        fleet = caller.cell.fleet.lately(connection)
    command = Command(caller, key, spec.project, 201)
    now = command.store.now()
    caller.cell.fleet.admit(fleet, spec, now)
    job, events = _new_job(caller, spec, now)
    change = Change(stream_of("job", job), 0, events, command.meta)
    response = command.append([change], _new_row(change, now))
    response.headers["Location"] = f"/api/v1/jobs/{job}"
    return response


def _new_row(change: Change, now: int) -> dict[str, Any]:
    """The job as its read model will show it, before that has caught up."""
    row: JobRow | None = None
    for version, event in enumerate(change.events, start=1):
        recorded = Recorded(0, change.stream, version, now, change.meta, None, event)
        row = job_view.VIEW.fold(row, (change.stream,), recorded)
    assert row is not None, "a submission has events"
    return shapes.job(row).model_dump()


@router.post("/jobs:batch", status_code=201, response_model=Submitted)
def submit_batch(body: BatchBody, caller: Submitter, key: IdempotencyKey) -> Response:
    """Submit up to 1,000 jobs, all or none."""
    specs = [_in_batch(number, item.spec) for number, item in enumerate(body.jobs)]
    with caller.cell.connection() as connection:
        for project in {spec.project for spec in specs}:
            check_project(caller, connection, project)
        fleet = caller.cell.fleet.lately(connection)
    command = Command(caller, key, None, 201)
    now = command.store.now()
    changes, items = [], []
    for number, spec in enumerate(specs):
        _in_batch(number, partial(caller.cell.fleet.admit, fleet, spec, now))
        job, events = _in_batch(number, partial(_new_job, caller, spec, now))
        command.project = spec.project
        changes.append(Change(stream_of("job", job), 0, events, command.meta))
        items.append({"id": job, "name": spec.name})
    return command.append(changes, {"items": items})


def _in_batch(number: int, check: Callable[[], Answer]) -> Answer:
    """What is said about the job at a place in a batch; what is wrong is named from there."""
    try:
        return check()
    except Invalid as error:
        path = f"jobs.{number}.{error.facts.get('field', '')}".rstrip(".")
        facts = {**error.facts, "field": path}
        raise Invalid(error.code, f"{path}: {error.detail}", **facts) from None


@router.get("/jobs", response_model=JobPage)
def find(
    caller: Reader,
    project_id: Annotated[str | None, Query(max_length=63)] = None,
    phase: Annotated[list[Phase] | None, Query()] = None,
    user: Annotated[str | None, Query(max_length=128)] = None,
    name: Annotated[str | None, Query(max_length=63)] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobPage:
    """Jobs the caller may see, newest first."""
    projects = caller.visible()
    if project_id is not None:
        caller.within(project_id)
        projects = [project_id]
    phases = [p.value for p in phase] if phase else None
    which = Filter(projects, phases, user, name)
    with caller.cell.connection() as connection:
        before = _from_cursor(cursor)
        if before is None and caller.moment is not None:  # none was submitted later than then
            before = (caller.moment.at + 1, "")
        rows = job_view.find(connection, which, before, limit + 1, caller.at)
        waiting = [row for row in rows[:limit] if row.phase is Phase.QUEUED]
        names = [row.id for row in waiting]
        places = queue_view.places(connection, names, caller.at) if waiting else {}
        higher = inherited(connection, waiting, caller.at)
    items = [
        shapes.job(row, places.get(row.id), inherited=higher.get(row.id)) for row in rows[:limit]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return JobPage(items=items, next_cursor=_to_cursor(last) if last else None)


def _place(caller: Caller, connection: Connection, row: JobRow) -> int | None:
    if row.phase is not Phase.QUEUED:
        return None
    return queue_view.place(connection, row.id, caller.at)


def _to_cursor(row: JobRow) -> str:
    return base64.urlsafe_b64encode(f"{row.submitted_at} {row.id}".encode()).decode()


def _from_cursor(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    try:
        at, _, job = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        if not 0 <= int(at) < 2**63 or "\0" in job:
            raise ValueError
        return int(at), job
    except (ValueError, binascii.Error):
        raise Invalid(
            "bad_cursor", "cursor: pass a next_cursor as it was", field="cursor"
        ) from None


@router.get("/jobs/{job}", response_model=shapes.Job)
def get(job: str, caller: Reader) -> shapes.Job:
    """One job."""
    with caller.cell.connection() as connection:
        row = visible_job(caller, connection, job)
        usage = _usage(connection, row) if caller.at is None else None  # samples are not kept
        waiting = [row] if row.phase is Phase.QUEUED else []
        higher = inherited(connection, waiting, caller.at).get(row.id)
        return shapes.job(row, _place(caller, connection, row), usage, higher)


def _usage(connection: Connection, row: JobRow) -> list[shapes.SeatUsage] | None:
    if row.state.allocation is None:
        return None
    records = connection.execute(
        "SELECT rank, to_char(sampled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " AS sampled_at, cpu_milli, memory_bytes, gpus FROM seat_samples"
        " WHERE allocation_id = %s ORDER BY rank",
        (row.state.allocation,),
    ).fetchall()
    return [shapes.SeatUsage.model_validate(record) for record in records] or None


def _control(
    job: str, caller: Caller, key: Key, decide: Callable[[Job, int, int], Sequence[Event]]
) -> Response:
    """Run a command on a job; `decide` gets the job, now and the deadline of its grace."""
    with caller.cell.connection() as connection:
        row = visible_job(caller, connection, job)
        policy = policy_view.get(connection)
    command = Command(caller, key, row.project, 202)
    now = command.store.now()
    wish = row.state.spec.grace_seconds
    grace = policy.scheduler.grace_seconds if wish is None else wish

    def run(state: Job | None) -> Sequence[Event]:
        assert state is not None, "the read model showed it"
        return decide(state, now, now + grace * SECOND)

    def body(state: Job | None) -> dict[str, Any]:
        assert state is not None
        return {"id": state.id, "phase": state.phase}

    return command.execute(stream_of("job", job), jobs.evolve, None, run, body)


@router.post("/jobs/{job}/cancel", status_code=202, response_model=shapes.Accepted)
def cancel(job: str, caller: Controller, key: IdempotencyKey) -> Response:
    """End the job: at once while it waits, with its grace period while it runs."""
    return _control(job, caller, key, lambda state, _, deadline: jobs.cancel(state, deadline))


@router.post("/jobs/{job}/suspend", status_code=202, response_model=shapes.Accepted)
def suspend(job: str, caller: Controller, key: IdempotencyKey) -> Response:
    """Take the job out of the queue, or have it save and leave its nodes."""
    return _control(job, caller, key, lambda state, _, deadline: jobs.suspend(state, deadline))


@router.post("/jobs/{job}/resume", status_code=202, response_model=shapes.Accepted)
def resume(job: str, caller: Controller, key: IdempotencyKey) -> Response:
    """Put a suspended or held job into the queue."""
    return _control(job, caller, key, lambda state, now, _: jobs.resume(state, now))


@router.post("/jobs/{job}/requeue", status_code=202, response_model=shapes.Accepted)
def requeue(job: str, caller: Controller, key: IdempotencyKey) -> Response:
    """Run the job once more."""
    return _control(job, caller, key, jobs.requeue)


@router.post("/jobs/{job}/migrate", status_code=202, response_model=shapes.Accepted)
def migrate(
    job: str, caller: Controller, key: IdempotencyKey, body: MigrateBody | None = None
) -> Response:
    """Have the running job move to another node, or away from its own, once there is room."""
    to = None if body is None or body.to is None else NodeId(body.to)
    fleet = None if to is None else _fleet_of(caller, to)

    def decide(state: Job, _: int, __: int) -> Sequence[Event]:
        events = moves.migrate(state, to)
        if fleet is not None:
            check_node(state, fleet)
        return events

    return _control(job, caller, key, decide)


def _fleet_of(caller: Caller, node: NodeId) -> Fleet:
    """The node alone, as if nothing ran on it; Invalid if there is no such node."""
    with caller.cell.connection() as connection:
        found, policy = node_view.get(connection, node), policy_view.get(connection)
    if found is None:
        raise Invalid("unknown_name", f"to: there is no node {node}", field="to")
    return Fleet([found.row.offer], policy, alive=True)


@router.delete("/jobs/{job}/migrate", status_code=202, response_model=shapes.Accepted)
def withdraw(job: str, caller: Controller, key: IdempotencyKey) -> Response:
    """Take a migration back that still waits for room: the job stays where it is."""
    return _control(job, caller, key, lambda state, *_: moves.withdraw(state))


@router.patch("/jobs/{job}", status_code=202, response_model=shapes.Accepted)
def change(job: str, body: PriorityBody, caller: Controller, key: IdempotencyKey) -> Response:
    """Change the job's priority."""
    return _control(job, caller, key, lambda state, *_: jobs.set_priority(state, body.priority))
