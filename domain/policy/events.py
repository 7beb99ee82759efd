"""Everything that can have been decided about the cell."""

from __future__ import annotations

from dataclasses import dataclass

from domain.event import Event


@dataclass(frozen=True)
class SchedulerSettings:
    """How the scheduler decides. Times are whole seconds."""

    enable_preemption: bool = True
    grace_seconds: int = 30
    interval_seconds: int = 1


@dataclass(frozen=True)
class GpuPrice:
    """Micro-units of money for one GPU of this model for an hour."""

    model: str
    micro_per_hour: int


@dataclass(frozen=True)
class PriceList:
    """Micro-units of money per hour: for one CPU, one GiB of memory, one GPU by model.

    `gpu_micro` is for models that `gpus` does not name.
    """

    currency: str
    cpu_micro: int
    memory_gib_micro: int
    gpu_micro: int
    gpus: tuple[GpuPrice, ...] = ()


@dataclass(frozen=True)
class SchedulerSet(Event, name="policy.scheduler_set.v1"):
    settings: SchedulerSettings


@dataclass(frozen=True)
class PricesSet(Event, name="policy.prices_set.v1"):
    """Prices from this event's recorded time on."""

    prices: PriceList


PolicyEvent = SchedulerSet | PricesSet
"""Any event on the cell's policy stream."""
