"""The whole policy as one document: scheduler, inventory, sharing tree, prices; all or nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from api.auth import Caller, requires
from api.body import Body, Name, Number, Seconds
from api.cluster import Reader
from api.command import Command
from api.jobs import IdempotencyKey
from api.policy import (
    STREAM,
    Changed,
    CohortBody,
    Count,
    OvercommitBody,
    PricesBody,
    Setter,
    price_list,
    prices_body,
)
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Invalid
from domain.policy import policy as policies
from domain.policy.cohorts import MAX_COHORTS
from domain.policy.events import (
    Backfill,
    Cohort,
    FairShare,
    Order,
    PolicyEvent,
    PreemptionRules,
    SchedulerSettings,
    Score,
)
from domain.policy.inventory import MAX_GPUS, Cluster, ExpectedNode
from domain.policy.policy import Policy
from domain.values.ids import NodeId
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import GIB, gibibytes, milli, parse
from domain.values.time import YEAR_SECONDS
from infra.codec import to_builtins
from projections import inventory as inventory_view
from projections import policy as policy_view

router = APIRouter(route_class=StrictRoute, tags=["policy"])
Checker = Annotated[Caller, Depends(requires(Permission.READ_CLUSTER))]
_NAMES = {
    "grace_seconds": "preemption.grace_period",
    "interval_seconds": "scheduling_interval",
    "fair_share.window_seconds": "fair_share.window_hours",
    "fair_share.decay_milli": "fair_share.decay_factor",
}
"""Settings that have another name in the document."""


class Window(Body):
    """Usage counts `decay_factor` of itself once the window old (hours, to the second)."""

    window_hours: Annotated[
        StrictInt | StrictFloat, Field(gt=0, le=YEAR_SECONDS / 3600, allow_inf_nan=False)
    ] = 168
    decay_factor: Annotated[StrictFloat, Field(gt=0, lt=1)] = 0.5


class Preemption(Body):
    """Who may be asked to leave for another, how often, and how long it may save (seconds)."""

    grace_period: Annotated[StrictInt, Field(ge=0, le=86_400)] = 30
    priority_threshold: Annotated[StrictInt, Field(ge=0, le=MAX_PRIORITY)] = 0
    max_preemptions: Count | None = None
    max_per_hour: Count | None = None
    min_runtime_seconds: Seconds = 0
    cooldown_seconds: Seconds = 0
    over_share: StrictBool = False
    project_per_hour: Count | None = None


class Scheduler(Body):
    """How the scheduler decides; what is left out has its default."""

    primary_policy: Order = Order.PRIORITY
    secondary_policy: Order = Order.FIFO
    enable_preemption: StrictBool = True
    enable_backfill: StrictBool = True
    enable_gang_scheduling: StrictBool = True
    scheduling_interval: Annotated[StrictInt, Field(ge=1, le=3600)] = 1
    fair_share: Window = Window()
    preemption: Preemption = Preemption()
    backfill: Backfill = Backfill.EASY
    backfill_depth: Annotated[StrictInt, Field(ge=1, le=64)] = 1
    cycle_budget_ms: Annotated[StrictInt, Field(ge=10, le=3_600_000)] = 500
    aging_seconds: Seconds = 0
    score: Score = Score.PACK
    overcommit: Annotated[list[OvercommitBody], Field(max_length=1000)] = []

    def settings(self) -> SchedulerSettings:
        """The settings it stands for."""
        ours = self.model_dump(exclude={"fair_share", "preemption", "scheduling_interval"})
        rules = self.preemption.model_dump(exclude={"grace_period"})
        window = round(self.fair_share.window_hours * 3600)
        decay = _thousandths("fair_share.decay_factor", self.fair_share.decay_factor)
        return msgspec.convert(
            {
                **ours,
                "interval_seconds": self.scheduling_interval,
                "grace_seconds": self.preemption.grace_period,
                "fair_share": to_builtins(FairShare(window, decay)),
                "preemption": to_builtins(msgspec.convert(rules, PreemptionRules)),
            },
            SchedulerSettings,
        )

    @classmethod
    def of(cls, settings: SchedulerSettings) -> Scheduler:
        """The document that stands for the settings."""
        found = to_builtins(settings)
        window = Fraction(settings.fair_share.window_seconds, 3600)
        hours = int(window) if window.denominator == 1 else float(window)
        share = {"window_hours": hours, "decay_factor": settings.fair_share.decay_milli / 1000}
        rules = {"grace_period": found.pop("grace_seconds"), **found.pop("preemption")}
        interval = found.pop("interval_seconds")
        whole = {**found, "scheduling_interval": interval, "fair_share": share}
        return cls.model_validate({**whole, "preemption": rules})


class InventoryNode(Body):
    """A node that is expected: what it has in all; `memory_gb` counts GiB, as a job's does."""

    id: Name
    gpus: Annotated[StrictInt, Field(ge=0, le=MAX_GPUS)] = 0
    gpu_type: Annotated[StrictStr, Field(min_length=1, max_length=63)] | None = None
    memory_gb: Number
    cpu_cores: Number


class ClusterBody(Body):
    """Nodes under one name."""

    nodes: Annotated[list[InventoryNode], Field(max_length=100_000)] = []


class Configuration(Body):
    """The whole policy; a section that is left out stays as it is, one that is there replaces."""

    scheduler: Scheduler | None = None
    clusters: dict[Name, ClusterBody] | None = None
    cohorts: Annotated[list[CohortBody], Field(max_length=MAX_COHORTS)] | None = None
    prices: PricesBody | None = None

    def decide(self, policy: Policy) -> list[PolicyEvent]:
        """The events that set every section given, none if one of them cannot be."""
        events: list[PolicyEvent] = []
        if self.scheduler is not None:
            with _Section("scheduler"):
                events += policies.set_scheduler(policy, self.scheduler.settings())
        if self.cohorts is not None:
            tree = msgspec.convert([c.model_dump() for c in self.cohorts], tuple[Cohort, ...])
            with _Section(""):
                events += policies.set_cohorts(policy, tree)
        if self.prices is not None:
            with _Section("prices"):
                events += policies.set_prices(policy, price_list(self.prices))
        if self.clusters is not None:
            with _Section(""):
                events += policies.set_inventory(policy, _clusters(self.clusters))
        return events

    @classmethod
    def of(cls, policy: Policy) -> Configuration:
        """The document that stands for a policy."""
        return cls.model_validate(
            {
                "scheduler": Scheduler.of(policy.scheduler),
                "clusters": {c.name: _cluster(c) for c in policy.inventory},
                "cohorts": to_builtins(policy.cohorts),
                "prices": None if policy.prices is None else prices_body(policy.prices),
            }
        )


class _Section:
    """Names what is wrong in a section by its place in the document."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Invalid):
            return
        old = str(error.facts.get("field", ""))
        new = _NAMES.get(old, old).replace("[", ".").replace("]", "")
        field = f"{self._name}.{new}".strip(".")
        detail = error.detail.removeprefix(f"{old}:").strip()
        raise Invalid(error.code, f"{field}: {detail}", field=field) from error


def _thousandths(field: str, value: float) -> int:
    found = parse(field, value) * 1000
    if found.denominator != 1:
        raise Invalid("bad_quantity", f"{field}: at most three decimals", field=field)
    return int(found)


def _clusters(bodies: dict[str, ClusterBody]) -> tuple[Cluster, ...]:
    return tuple(
        Cluster(
            name,
            tuple(
                ExpectedNode(
                    NodeId(node.id),
                    milli(f"clusters.{name}.nodes.{n}.cpu_cores", node.cpu_cores),
                    gibibytes(f"clusters.{name}.nodes.{n}.memory_gb", node.memory_gb),
                    node.gpus,
                    (node.gpu_type or "").upper(),
                )
                for n, node in enumerate(body.nodes)
            ),
        )
        for name, body in bodies.items()
    )


def _cluster(cluster: Cluster) -> dict[str, Any]:
    return {"nodes": [_node(node) for node in cluster.nodes]}


def _node(node: ExpectedNode) -> dict[str, Any]:
    gpus = {"gpus": node.gpus, "gpu_type": node.gpu_type or None}
    memory, cores = node.memory_bytes / GIB, node.cpu_milli / 1000
    sizes = {"memory_gb": _plain(memory), "cpu_cores": _plain(cores)}
    return {"id": node.id, **gpus, **sizes}


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number


@router.get("/policy", response_model=Configuration, response_model_exclude_none=True)
def whole(caller: Reader) -> Configuration:
    """The whole policy in force."""
    with caller.cell.connection() as connection:
        policy = policy_view.get(connection, caller.at)
        clusters = inventory_view.get(connection, caller.at)
    return Configuration.of(replace(policy, inventory=clusters))


@router.put("/policy", status_code=202, response_model=Changed)
def set_whole(body: Configuration, caller: Setter, key: IdempotencyKey) -> Response:
    """Change the sections that are given, all of them or none."""
    return Command(caller, key, None, 202).execute(
        STREAM, policies.evolve, Policy(), body.decide, lambda p: {"version": p.version}
    )


@router.post("/policy:check", response_model=Configuration, response_model_exclude_none=True)
def check(body: Configuration, caller: Checker) -> Configuration:  # noqa: ARG001 - its permission
    """The sections that are given as they would be in force; nothing is changed."""
    policy = Policy()
    for event in body.decide(policy):
        policy = policies.evolve(policy, event)
    return Configuration.of(policy).model_copy(
        update={name: None for name in Configuration.model_fields if getattr(body, name) is None}
    )
