"""Policy: the scheduler's settings and the price list, each change an event."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from api.auth import Caller, requires
from api.body import Body, Name, Seconds
from api.cluster import Reader
from api.command import Command
from api.jobs import IdempotencyKey
from api.strict import StrictRoute
from domain.access import Permission
from domain.event import StreamId
from domain.policy import policy as policies
from domain.policy.cohorts import MAX_COHORTS
from domain.policy.events import (
    Backfill,
    Cohort,
    GpuPrice,
    Order,
    PriceList,
    SchedulerSettings,
    Score,
)
from domain.policy.policy import Policy
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import LARGEST
from domain.values.time import YEAR_SECONDS
from infra.codec import to_builtins
from projections import policy as policy_view

router = APIRouter(route_class=StrictRoute, tags=["policy"])
Setter = Annotated[Caller, Depends(requires(Permission.SET_POLICY))]
STREAM = StreamId("policy/cell")
Micro = Annotated[StrictInt, Field(ge=0, le=10**15)]


class FairShareBody(Body):
    """Usage counts decay_milli/1000 of itself once window_seconds old."""

    window_seconds: Annotated[StrictInt, Field(ge=60, le=YEAR_SECONDS)] = 7 * 24 * 3600
    decay_milli: Annotated[StrictInt, Field(ge=1, le=999)] = 500


Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]


class PreemptionBody(Body):
    """Who may be asked to leave for another, and how often."""

    priority_threshold: Annotated[StrictInt, Field(ge=0, le=MAX_PRIORITY)] = 0
    max_preemptions: Count | None = None
    max_per_hour: Count | None = None
    min_runtime_seconds: Seconds = 0
    cooldown_seconds: Seconds = 0
    over_share: StrictBool = False
    project_per_hour: Count | None = None


class OvercommitBody(Body):
    """What a pool promises, in thousandths of what its nodes have."""

    pool: Name
    cpu_milli: Annotated[StrictInt, Field(ge=1000, le=100_000)] = 1000
    memory_milli: Annotated[StrictInt, Field(ge=1000, le=100_000)] = 1000


class SchedulerBody(Body):
    """How the scheduler decides; times in seconds."""

    enable_preemption: StrictBool = True
    grace_seconds: Annotated[StrictInt, Field(ge=0, le=86_400)] = 30
    interval_seconds: Annotated[StrictInt, Field(ge=1, le=3600)] = 1
    primary_policy: Order = Order.PRIORITY
    secondary_policy: Order = Order.FIFO
    enable_backfill: StrictBool = True
    backfill: Backfill = Backfill.EASY
    backfill_depth: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    cycle_budget_ms: Annotated[StrictInt, Field(ge=10, le=3_600_000)] = 500
    enable_gang_scheduling: StrictBool = True
    aging_seconds: Seconds = 0
    score: Score = Score.FRAGMENTATION
    fair_share: FairShareBody = FairShareBody()
    preemption: PreemptionBody = PreemptionBody()
    overcommit: Annotated[list[OvercommitBody], Field(max_length=1000)] = []


class LimitsBody(Body):
    """An amount of each resource; null is no limit."""

    gpu_milli: Annotated[StrictInt, Field(ge=0, le=LARGEST)] | None = None
    cpu_milli: Annotated[StrictInt, Field(ge=0, le=LARGEST)] | None = None
    memory_bytes: Annotated[StrictInt, Field(ge=0, le=LARGEST)] | None = None


class CohortBody(Body):
    """A node of the sharing tree; a project is a leaf of it."""

    name: Name
    parent: Annotated[StrictStr, Field(max_length=63)] = ""
    shares: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1
    project: Name | None = None
    nominal: LimitsBody = LimitsBody()
    borrow: LimitsBody = LimitsBody()
    lend: LimitsBody = LimitsBody()
    user_limit: LimitsBody = LimitsBody()


class CohortsBody(Body):
    """The whole sharing tree, parents before their children."""

    cohorts: Annotated[list[CohortBody], Field(max_length=MAX_COHORTS)]


class PricesBody(Body):
    """Millionths of the currency unit for an hour of one CPU, one GiB, one GPU."""

    currency: Annotated[StrictStr, Field(pattern=r"^[A-Z]{3}$")]
    cpu_micro: Micro
    memory_gib_micro: Micro
    gpu_micro: Micro
    gpus: dict[Annotated[StrictStr, Field(min_length=1, max_length=63)], Micro] = {}


class Changed(BaseModel):
    version: int
    position: int


@router.get("/policy/scheduler", response_model=SchedulerBody)
def scheduler(caller: Reader) -> dict[str, Any]:
    """The scheduler's settings in force."""
    with caller.cell.connection() as connection:
        found: dict[str, Any] = to_builtins(policy_view.get(connection, caller.at).scheduler)
    return found


@router.put("/policy/scheduler", status_code=202, response_model=Changed)
def set_scheduler(body: SchedulerBody, caller: Setter, key: IdempotencyKey) -> Response:
    """Change how the scheduler decides."""
    settings = msgspec.convert(body.model_dump(), SchedulerSettings)
    return Command(caller, key, None, 202).execute(
        STREAM,
        policies.evolve,
        Policy(),
        lambda policy: policies.set_scheduler(policy, settings),
        _body,
    )


@router.get("/policy/cohorts", response_model=CohortsBody)
def cohorts(caller: Reader) -> dict[str, Any]:
    """The sharing tree in force."""
    with caller.cell.connection() as connection:
        return {"cohorts": to_builtins(policy_view.get(connection, caller.at).cohorts)}


@router.put("/policy/cohorts", status_code=202, response_model=Changed)
def set_cohorts(body: CohortsBody, caller: Setter, key: IdempotencyKey) -> Response:
    """Change the sharing tree: shares, quotas, borrowing and lending."""
    tree = msgspec.convert(body.model_dump()["cohorts"], tuple[Cohort, ...])
    return Command(caller, key, None, 202).execute(
        STREAM, policies.evolve, Policy(), lambda p: policies.set_cohorts(p, tree), _body
    )


@router.get("/policy/prices", response_model=PricesBody | None)
def prices(caller: Reader) -> dict[str, Any] | None:
    """The price list in force; null before the first."""
    with caller.cell.connection() as connection:
        found = policy_view.get(connection, caller.at).prices
    return None if found is None else prices_body(found)


@router.put("/policy/prices", status_code=202, response_model=Changed)
def set_prices(body: PricesBody, caller: Setter, key: IdempotencyKey) -> Response:
    """Change what things cost from now on; the past keeps its prices."""
    wanted = price_list(body)
    return Command(caller, key, None, 202).execute(
        STREAM, policies.evolve, Policy(), lambda p: policies.set_prices(p, wanted), _body
    )


def prices_body(found: PriceList) -> dict[str, Any]:
    """A price list as answered: GPU models by name."""
    whole: dict[str, Any] = to_builtins(found)
    return whole | {"gpus": {price.model: price.micro_per_hour for price in found.gpus}}


def price_list(body: PricesBody) -> PriceList:
    """The price list that was asked for."""
    gpus = tuple(GpuPrice(model.upper(), micro) for model, micro in sorted(body.gpus.items()))
    return PriceList(body.currency, body.cpu_micro, body.memory_gib_micro, body.gpu_micro, gpus)


def _body(policy: Policy) -> dict[str, Any]:
    return {"version": policy.version}
