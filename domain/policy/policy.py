"""The policy aggregate: one stream per cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import assert_never

from domain.errors import Invalid
from domain.policy import events as e
from domain.policy.cohorts import check_tree
from domain.policy.events import Cohort, Order, PolicyEvent, PriceList, SchedulerSettings
from domain.policy.inventory import Cluster, check_inventory
from domain.values.checks import between
from domain.values.priority import MAX_PRIORITY
from domain.values.time import YEAR_SECONDS

DEFAULT_PRICES = PriceList(
    currency="USD",
    cpu_micro=40_000,
    memory_gib_micro=5_000,
    gpu_micro=2_000_000,
    gpus=(e.GpuPrice("A100", 2_500_000), e.GpuPrice("H100", 4_000_000)),
)
"""A list to begin with; every installation sets its own."""


@dataclass(frozen=True)
class Policy:
    """The cell's policy as its events left it; `version` counts the changes."""

    version: int = 0
    scheduler: SchedulerSettings = SchedulerSettings()
    prices: PriceList | None = None
    cohorts: tuple[Cohort, ...] = ()
    inventory: tuple[Cluster, ...] = ()


def evolve(policy: Policy, event: PolicyEvent) -> Policy:
    """The policy after the event."""
    match event:
        case e.SchedulerSet(settings=settings):
            return replace(policy, version=policy.version + 1, scheduler=settings)
        case e.PricesSet(prices=prices):
            return replace(policy, version=policy.version + 1, prices=prices)
        case e.CohortsSet(cohorts=cohorts):
            return replace(policy, version=policy.version + 1, cohorts=cohorts)
        case e.InventorySet(clusters=clusters):
            return replace(policy, version=policy.version + 1, inventory=clusters)
        case _:
            assert_never(event)


def set_scheduler(policy: Policy, settings: SchedulerSettings) -> list[PolicyEvent]:
    """Change how the scheduler decides."""
    _check_scheduler(settings)
    return [] if settings == policy.scheduler else [e.SchedulerSet(settings)]


def _check_scheduler(settings: SchedulerSettings) -> None:
    between("grace_seconds", settings.grace_seconds, 0, 86_400)
    between("interval_seconds", settings.interval_seconds, 1, 3600)
    between("cycle_budget_ms", settings.cycle_budget_ms, 10, 3_600_000)
    between("backfill_depth", settings.backfill_depth, 1, 64)
    between("aging_seconds", settings.aging_seconds, 0, YEAR_SECONDS)
    between("fair_share.window_seconds", settings.fair_share.window_seconds, 60, YEAR_SECONDS)
    between("fair_share.decay_milli", settings.fair_share.decay_milli, 1, 999)
    rules = settings.preemption
    between("preemption.priority_threshold", rules.priority_threshold, 0, MAX_PRIORITY)
    between("preemption.min_runtime_seconds", rules.min_runtime_seconds, 0, YEAR_SECONDS)
    between("preemption.cooldown_seconds", rules.cooldown_seconds, 0, YEAR_SECONDS)
    for field in ("max_preemptions", "max_per_hour", "project_per_hour"):
        value = getattr(rules, field)
        if value is not None:
            between(f"preemption.{field}", value, 0, 1_000_000)
    for over in settings.overcommit:
        between(f"overcommit.{over.pool}.cpu_milli", over.cpu_milli, 1000, 100_000)
        between(f"overcommit.{over.pool}.memory_milli", over.memory_milli, 1000, 100_000)
    if len({over.pool for over in settings.overcommit}) != len(settings.overcommit):
        raise Invalid("duplicate_pool", "overcommit: name each pool once", field="overcommit")
    if settings.primary_policy is settings.secondary_policy is not Order.FIFO:
        raise Invalid(
            "same_policy_twice",
            "secondary_policy: another one than primary_policy, or fifo",
            field="secondary_policy",
        )


def set_cohorts(policy: Policy, cohorts: tuple[Cohort, ...]) -> list[PolicyEvent]:
    """Change the sharing tree: shares, quotas, borrowing, budgets."""
    check_tree(cohorts)
    return [] if cohorts == policy.cohorts else [e.CohortsSet(cohorts)]


def set_inventory(policy: Policy, clusters: tuple[Cluster, ...]) -> list[PolicyEvent]:
    """Change which nodes are expected to be there."""
    check_inventory(clusters)
    return [] if clusters == policy.inventory else [e.InventorySet(clusters)]


def set_prices(policy: Policy, prices: PriceList) -> list[PolicyEvent]:
    """Change what things cost from now on."""
    if not re.fullmatch(r"[A-Z]{3}", prices.currency):
        raise Invalid("bad_currency", "currency: an ISO 4217 code such as USD", field="currency")
    named = {f"gpus.{price.model}": price.micro_per_hour for price in prices.gpus}
    if len(named) != len(prices.gpus):
        raise Invalid("duplicate_model", "gpus: name each model once", field="gpus")
    rates = {"cpu": prices.cpu_micro, "memory_gib": prices.memory_gib_micro, **named}
    for field, value in {**rates, "gpu": prices.gpu_micro}.items():
        between(f"{field} (micro-units an hour)", value, 0, 10**15)
    return [] if prices == policy.prices else [e.PricesSet(prices)]
