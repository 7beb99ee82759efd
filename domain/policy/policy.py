"""The policy aggregate: one stream per cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import assert_never

from domain.errors import Invalid
from domain.policy import events as e
from domain.policy.events import PolicyEvent, PriceList, SchedulerSettings
from domain.values.checks import between

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


def evolve(policy: Policy, event: PolicyEvent) -> Policy:
    """The policy after the event."""
    match event:
        case e.SchedulerSet(settings=settings):
            return replace(policy, version=policy.version + 1, scheduler=settings)
        case e.PricesSet(prices=prices):
            return replace(policy, version=policy.version + 1, prices=prices)
        case _:
            assert_never(event)


def set_scheduler(policy: Policy, settings: SchedulerSettings) -> list[PolicyEvent]:
    """Change how the scheduler decides."""
    between("grace_seconds", settings.grace_seconds, 0, 86_400)
    between("interval_seconds", settings.interval_seconds, 1, 3600)
    return [] if settings == policy.scheduler else [e.SchedulerSet(settings)]


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
