"""What happened to a job, why it waits, what it saved and cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api import shapes
from api.jobs import Reader, visible_job
from api.strict import StrictRoute
from api.usage import CostAnswer, cost_answer
from domain.event import Recorded
from domain.job import events as e
from domain.job.migration import Migration
from domain.job.transitions import Phase
from domain.scheduling.reason import WaitReason
from domain.values.time import to_text
from infra.store import stream_of
from projections import checkpoints, cost, queue
from projections.jobs import JobRow
from projections.usage import GroupBy, Window

router = APIRouter(route_class=StrictRoute, tags=["jobs"])
AHEAD = 10


class EventList(BaseModel):
    items: list[shapes.LoggedEvent]


class Ahead(BaseModel):
    id: str
    name: str
    priority: int


class Moment(BaseModel):
    at: str
    position: int
    name: str
    text: str


class Why(BaseModel):
    """Why the job is where it is."""

    job_id: str
    phase: str
    summary: str
    reason: shapes.Reason | None
    migration: shapes.MigrationAnswer | None
    queue_position: int | None
    ahead: list[Ahead]
    ahead_total: int
    waits: Waits
    history: list[Moment]


class Waits(BaseModel):
    """The wait ledger, microseconds by cause: all time the job stood neither placed nor ended.

    What keeps it now, `cause` since `since`, is not in `by_cause` yet; with it they add up.
    """

    by_cause: dict[str, int]
    cause: str | None
    since: str | None


class Checkpoint(BaseModel):
    number: int
    attempt: int
    rank: int
    cause: str
    digest: str
    files: int
    bytes: int
    new_bytes: int
    committed_at: str


class CheckpointList(BaseModel):
    items: list[Checkpoint]


@router.get("/jobs/{job}/events", response_model=EventList)
def events(job: str, caller: Reader) -> EventList:
    """Everything that happened to the job, its allocations and checkpoints, in order."""
    with caller.cell.connection() as connection:
        visible_job(caller, connection, job)
    found = [item for item in _events(caller, job) if _by_then(caller, item)]
    return EventList(items=[shapes.event(item) for item in found])


def _by_then(caller: Reader, item: Recorded) -> bool:
    return caller.at is None or item.position <= caller.at


def _events(caller: Reader, job: str) -> list[Recorded]:
    store = caller.cell.store
    found = store.stream(stream_of("job", job)) + store.stream(stream_of("checkpoint", job))
    for item in list(found):
        if isinstance(item.event, e.Placed):
            found += store.stream(stream_of("allocation", item.event.allocation))
    return sorted(found, key=lambda item: item.position)


@router.get("/jobs/{job}/why", response_model=Why)
def why(job: str, caller: Reader) -> Why:
    """Why the job waits, or how it came to where it is."""
    with caller.cell.connection() as connection:
        row = visible_job(caller, connection, job)
        place = queue.place(connection, job, caller.at)
        ahead, total = queue.ahead(connection, job, AHEAD, caller.at)
        visible = caller.visible()
    shown = [a for a in ahead if visible is None or a.project in visible]
    return Why(
        job_id=job,
        phase=row.phase,
        summary=summary(row, place),
        reason=shapes.reason(row.state.waiting),
        migration=shapes.migration(row.state.migration),
        queue_position=place,
        ahead=[Ahead(id=a.job, name=a.name, priority=a.priority) for a in shown],
        ahead_total=total,
        waits=Waits(
            by_cause=row.waits.sums,
            cause=row.waits.cause or None,
            since=to_text(row.waits.since) if row.waits.cause else None,
        ),
        history=[
            Moment(
                at=to_text(item.recorded_at),
                position=item.position,
                name=item.event.topic,
                text=tell(item),
            )
            for item in caller.cell.store.stream(stream_of("job", job))
            if _by_then(caller, item)
        ],
    )


def summary(row: JobRow, place: int | None) -> str:
    """Where the job stands, in one or two sentences."""
    state = row.state
    match state.phase:
        case Phase.QUEUED if state.waiting is None:
            return f"Waiting, place {place} in the queue. The scheduler has not looked at it yet."
        case Phase.QUEUED:
            assert state.waiting is not None
            return f"Waiting, place {place} in the queue. {state.waiting.text()}"
        case Phase.HELD if row.due_at is not None:
            return f"Held after failure {state.failures}: runs again at {to_text(row.due_at)}."
        case Phase.HELD:
            return "Held by its user: `compute resume` puts it into the queue."
        case Phase.BLOCKED:
            assert state.waiting is not None, "it was told when it was blocked"
            return f"Not in the queue yet. {state.waiting.text()}"
        case Phase.SUSPENDED:
            return "Suspended: `compute resume` puts it into the queue."
        case Phase.PREEMPTING if state.migration is not None:
            found = ", ".join(sorted({seat.node for seat in state.migration.seats}))
            return f"Moving to {found}: it may save until {_deadline(state.stop_deadline)}."
        case Phase.PREEMPTING | Phase.STOPPING:
            what = "Making room" if state.phase is Phase.PREEMPTING else "Stopping"
            until = _deadline(state.stop_deadline)
            return f"{what} ({state.stop_cause}): it may save until {until}."
        case Phase.STARTING | Phase.RUNNING:
            nodes = ", ".join(sorted({seat.node for seat in state.seats}))
            where = f"{state.phase.capitalize()} on {nodes}, attempt {state.attempt}."
            return f"{where}{_pending(state.migration)}"
    code = f" with exit code {row.exit_code}" if row.exit_code is not None else ""
    detail = f": {row.detail}" if row.detail else ""
    return f"Ended: {state.phase.replace('_', ' ')}{code}{detail}."


def _pending(known: Migration | None) -> str:
    """What is said of a job that runs on and is to move."""
    if known is None:
        return ""
    where = "elsewhere" if known.to is None else f"to {known.to}"
    why = "The scheduler has not looked for room yet."
    return f" It is to move {where}. {known.waiting.text() if known.waiting else why}"


def _deadline(at: int | None) -> str:
    return "its deadline" if at is None else to_text(at)


def tell(recorded: Recorded) -> str:
    """An event of a job in a few words."""
    match recorded.event:
        case e.Submitted(submitted_by=user):
            return f"submitted by {user}"
        case e.Queued(cause=cause):
            return f"queued: {cause}"
        case e.Cancelled(cause=e.CancelCause.DEPENDENCY, dependency=dependency):
            return f"cancelled: {dependency}, which it came after, did not succeed"
        case e.WaitExplained(reason=WaitReason() as reason):
            return reason.text()
        case e.Placed(attempt=attempt, seats=seats):
            return f"attempt {attempt} placed on {', '.join(sorted({s.node for s in seats}))}"
        case e.Started(attempt=attempt):
            return f"attempt {attempt} runs"
        case e.MigrationRequested(leaves=leaves, to=to):
            where = "" if to is None else f" to {to}"
            return f"asked to move{where}, away from {', '.join(leaves)}, once there is room"
        case e.MigrationExplained(reason=WaitReason() as reason):
            return f"no room elsewhere: {reason.text()}"
        case e.PreemptionRequested(cause=e.StopCause.MIGRATION, seats=seats, deadline=deadline):
            where = ", ".join(sorted({seat.node for seat in seats}))
            return f"asked to leave for {where} until {to_text(deadline)}"
        case e.PreemptionRequested(cause=why, preemptor=by, deadline=deadline):
            for_whom = f" for {by}" if by else ""
            return f"asked to make room ({why}){for_whom} until {to_text(deadline)}"
        case e.StopRequested(cause=stop, deadline=deadline):
            return f"asked to stop ({stop}) until {to_text(deadline)}"
        case e.AttemptEnded(attempt=attempt, outcome=outcome, exit_code=code, detail=detail):
            shown = "" if code is None else f", exit code {code}"
            return f"attempt {attempt} ended: {outcome}{shown}{f' ({detail})' if detail else ''}"
        case e.RetryScheduled(failures=failures, due_at=due):
            return f"failure {failures}: runs again at {to_text(due)}"
        case e.PriorityChanged(priority=now, previous=before):
            return f"priority {before} became {now}"
    return recorded.event.topic.split(".")[1].replace("_", " ")


@router.get("/jobs/{job}/checkpoints", response_model=CheckpointList)
def saved(
    job: str, caller: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> CheckpointList:
    """The job's checkpoints, newest first."""
    with caller.cell.connection() as connection:
        visible_job(caller, connection, job)
        rows = checkpoints.find(connection, job, limit, caller.at)
    return CheckpointList(
        items=[
            Checkpoint(
                number=row.number,
                attempt=row.attempt,
                rank=row.rank,
                cause=row.cause,
                digest=row.digest,
                files=row.files,
                bytes=row.bytes,
                new_bytes=row.new_bytes,
                committed_at=to_text(row.committed_at),
            )
            for row in rows
        ]
    )


@router.get("/jobs/{job}/cost", response_model=CostAnswer)
def job_cost(job: str, caller: Reader) -> CostAnswer:
    """What the job has cost so far."""
    now = caller.now()
    with caller.cell.connection() as connection:
        row = visible_job(caller, connection, job)
        window = Window([row.project], 0, now, job)
        found = cost.sums(connection, window, GroupBy.JOB, caller.at)
        return cost_answer(cost.currency(connection, caller.at), found)
