"""Usage and cost: sums over the allocation intervals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.auth import Caller
from api.jobs import Reader
from api.strict import StrictRoute
from api.when import When
from domain.errors import Invalid
from domain.values.quantity import GIB
from domain.values.time import SECOND, from_datetime, to_text
from projections import cost, jobs, usage
from projections.cost import Cost
from projections.usage import GroupBy, Window

router = APIRouter(route_class=StrictRoute, tags=["usage and cost"])
WindowEdge = Annotated[When | None, Query(description="RFC 3339 with a time zone")]


class UsageItem(BaseModel):
    """Amount-seconds, rounded down."""

    key: str
    gpu_seconds: int
    cpu_seconds: int
    memory_gib_seconds: int
    jobs: int


class UsageAnswer(BaseModel):
    since: str
    until: str
    items: list[UsageItem]


class CostItem(BaseModel):
    """Money in millionths of the currency unit."""

    key: str
    gpu_micro: int
    cpu_micro: int
    memory_micro: int
    total_micro: int


class CostAnswer(BaseModel):
    currency: str
    items: list[CostItem]
    total_micro: int


class WaitsItem(BaseModel):
    """A cause, how many jobs it kept, and their time together (microseconds)."""

    cause: str
    jobs: int
    waited_us: int


class WaitsAnswer(BaseModel):
    until: str
    items: list[WaitsItem]
    total_us: int


def _window(
    caller: Caller, project: str | None, since: datetime | None, until: datetime | None
) -> Window:
    projects = caller.visible()
    if project is not None:
        caller.within(project)
        projects = [project]
    start = 0 if since is None else _micro("since", since)
    now = caller.now()
    end = now if until is None else min(now, _micro("until", until))
    if end < start:
        raise Invalid("bad_window", "since: must not lie after until or now", field="since")
    return Window(projects, start, end)


def _micro(field: str, at: datetime) -> int:
    if at.tzinfo is None:
        raise Invalid("no_time_zone", f"{field}: add a time zone, such as Z", field=field)
    micro = from_datetime(at)
    if not 0 <= micro < 2**62:
        raise Invalid("out_of_range", f"{field}: must lie after 1970", field=field)
    return micro


@router.get("/usage", response_model=UsageAnswer)
def get_usage(
    caller: Reader,
    project_id: Annotated[str | None, Query(max_length=63)] = None,
    since: WindowEdge = None,
    until: WindowEdge = None,
    group_by: GroupBy = GroupBy.PROJECT,
) -> UsageAnswer:
    """What was held, from grant to release."""
    window = _window(caller, project_id, since, until)
    with caller.cell.connection() as connection:
        found = usage.sums(connection, window, group_by, caller.at)
    return UsageAnswer(
        since=to_text(window.since),
        until=to_text(window.until),
        items=[
            UsageItem(
                key=u.key,
                gpu_seconds=u.gpu_milli_us // (1000 * SECOND),
                cpu_seconds=u.cpu_milli_us // (1000 * SECOND),
                memory_gib_seconds=u.memory_byte_us // (GIB * SECOND),
                jobs=u.jobs,
            )
            for u in found
        ],
    )


@router.get("/cost", response_model=CostAnswer)
def get_cost(
    caller: Reader,
    project_id: Annotated[str | None, Query(max_length=63)] = None,
    since: WindowEdge = None,
    until: WindowEdge = None,
    group_by: GroupBy = GroupBy.PROJECT,
) -> CostAnswer:
    """What it cost, at the prices that held at the time."""
    window = _window(caller, project_id, since, until)
    with caller.cell.connection() as connection:
        found = cost.sums(connection, window, group_by, caller.at)
        return cost_answer(cost.currency(connection, caller.at), found)


@router.get("/waits", response_model=WaitsAnswer)
def get_waits(
    caller: Reader,
    project_id: Annotated[str | None, Query(max_length=63)] = None,
    until: WindowEdge = None,
) -> WaitsAnswer:
    """What jobs waited for: the wait ledgers together, those that wait counted up to now."""
    window = _window(caller, project_id, None, until)
    with caller.cell.connection() as connection:
        found = jobs.waited(connection, window.projects, window.until, caller.at)
    items = [WaitsItem(cause=w.cause, jobs=w.jobs, waited_us=w.waited_us) for w in found]
    total = sum(item.waited_us for item in items)
    return WaitsAnswer(until=to_text(window.until), items=items, total_us=total)


def cost_answer(currency: str, found: list[Cost]) -> CostAnswer:
    """Sums as answered."""
    return CostAnswer(
        currency=currency,
        items=[
            CostItem(
                key=c.key,
                gpu_micro=c.gpu_micro,
                cpu_micro=c.cpu_micro,
                memory_micro=c.memory_micro,
                total_micro=c.total_micro,
            )
            for c in found
        ],
        total_micro=sum(c.total_micro for c in found),
    )
