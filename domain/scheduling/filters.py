"""Filters: what keeps a demand off a node whatever else runs there, cheapest test first."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from domain.job.constraint import Fact, parse
from domain.node.events import Registered
from domain.node.node import pool_of
from domain.scheduling.demand import Demand
from domain.scheduling.reason import Constraint
from domain.values.quantity import GIB


def runs_on(demand: Demand, offer: Registered) -> bool:
    """Whether the node has a runner for it: Docker for an image, else any other."""
    runners = offer.runners
    return "docker" in runners if demand.docker else any(r != "docker" for r in runners)


@lru_cache(maxsize=1 << 16)
def never_on(demand: Demand, offer: Registered) -> Constraint | None:
    """The first constraint that no departure of others would lift, None if there is none."""
    where = demand.where
    if not runs_on(demand, offer):
        return Constraint.RUNNER
    if where.pools and pool_of(offer) not in where.pools:
        return Constraint.POOL
    if any(taint not in where.tolerations for taint in offer.taints):
        return Constraint.TAINT
    if any(pair not in offer.labels for pair in where.selector):
        return Constraint.SELECTOR
    if where.constraint and not parse(where.constraint)(facts_of(offer)):
        return Constraint.CONSTRAINT
    return _too_small(demand, offer)


def _too_small(demand: Demand, offer: Registered) -> Constraint | None:
    want, capacity = demand.per_seat, offer.capacity
    if want.gpu_milli:
        models = models_with(demand.mig, offer)
        usable = [n for m, n in models.items() if not demand.gpu_types or m in demand.gpu_types]
        if not usable:
            return Constraint.GPU_TYPE
        if not demand.mig and max(usable) < want.gpus:
            return Constraint.GPU_SIZE
    if want.cpu_milli > capacity.cpu_milli:
        return Constraint.CPU_SIZE
    if want.memory_bytes > capacity.memory_bytes:
        return Constraint.MEMORY_SIZE
    if want.storage_bytes > capacity.storage_bytes:
        return Constraint.STORAGE_SIZE
    return Constraint.NETWORK_SIZE if want.network_mbps > capacity.network_mbps else None


def models_with(mig: str, offer: Registered) -> Counter[str]:
    """How many GPUs of each model could be had whole, or with places for a MIG profile."""
    return Counter(
        device.model
        for device in offer.devices
        if (any(slot.profile == mig for slot in device.mig) if mig else not device.mig)
    )


def facts_of(offer: Registered) -> dict[str, Fact]:
    """The facts that constraints may name."""
    models = Counter(device.model for device in offer.devices)
    return {
        "node": offer.node,
        "pool": pool_of(offer),
        "rack": offer.location.rack,
        "spine": offer.location.spine,
        "gpu_model": models.most_common(1)[0][0] if models else "",
        "gpus": len(offer.devices),
        "cpus": offer.capacity.cpu_milli // 1000,
        "memory_gib": offer.capacity.memory_bytes // GIB,
        **{f"labels.{name}": value for name, value in offer.labels},
    }
