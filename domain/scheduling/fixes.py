"""What to change about a job that can never run: the field, and the most that would be accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from domain.job.where import Scope
from domain.node.events import Registered
from domain.node.node import pool_of
from domain.scheduling.demand import Demand
from domain.scheduling.filters import never_on
from domain.scheduling.reason import Constraint, WaitReason
from domain.values.quantity import GIB


def fix_for(demand: Demand, reason: WaitReason, offers: Sequence[Registered]) -> tuple[str, str]:
    """The field to change and how, by the nodes that come nearest to what is asked."""
    if reason.nodes_fitting:
        fit = f"ask for at most {reason.seats_fitting} replicas"
        where = demand.where
        if where.together_required and where.together not in (None, Scope.NODE):
            fit = f"ask for fewer replicas, or do not ask for all of them in one {where.together}"
        return "replicas", fit
    last = reason.excluded[-1].constraint  # these pass every test before: they come nearest
    near = [offer for offer in offers if never_on(demand, offer) is last]
    return _FIELDS.get(last, "where"), _fix(demand, last, near)


_FIELDS = {
    Constraint.RUNNER: "docker_image",
    Constraint.POOL: "where.pools",
    Constraint.TAINT: "where.tolerations",
    Constraint.SELECTOR: "where.selector",
    Constraint.CONSTRAINT: "where.constraint",
    Constraint.GPU_TYPE: "resources.gpu_type",
    Constraint.GPU_SIZE: "resources.gpu",
    Constraint.CPU_SIZE: "resources.cpu",
    Constraint.MEMORY_SIZE: "resources.memory",
    Constraint.STORAGE_SIZE: "resources.storage",
    Constraint.NETWORK_SIZE: "resources.network_mbps",
}


def _fix(demand: Demand, last: Constraint, near: Sequence[Registered]) -> str:
    match last:
        case Constraint.RUNNER:
            return "leave the image out" if demand.docker else "name an image"
        case Constraint.POOL:
            return f"pools there are: {_names(pool_of(offer) for offer in near)}"
        case Constraint.TAINT:
            return (
                f"tolerate taints of: {_names(taint for offer in near for taint in offer.taints)}"
            )
        case Constraint.SELECTOR:
            labels = (f"{k}={v}" for offer in near for k, v in offer.labels)
            return f"labels there are: {_names(labels) or 'none'}"
        case Constraint.CONSTRAINT:
            return "ask for less in the constraint"
        case Constraint.GPU_TYPE:
            models = _names(device.model for offer in near for device in offer.devices)
            if not models:
                return "no node has GPUs: ask for none"
            return f"GPU types there are: {models}"
        case Constraint.GPU_SIZE:
            return f"ask for at most {max(_gpus(demand, offer) for offer in near)} a seat"
        case Constraint.CPU_SIZE:
            most = max(offer.capacity.cpu_milli for offer in near)
            return f"ask for at most {most / 1000:g} CPUs a seat"
        case Constraint.MEMORY_SIZE:
            most = max(offer.capacity.memory_bytes for offer in near)
            return f"ask for at most {most // 2**20 * 2**20 / GIB:g} GiB a seat"
        case Constraint.STORAGE_SIZE:
            most = max(offer.capacity.storage_bytes for offer in near)
            return f"ask for at most {most} bytes a seat"
        case Constraint.NETWORK_SIZE:
            most = max(offer.capacity.network_mbps for offer in near)
            return f"ask for at most {most} Mbit/s a seat"
    return "change where it may run"


def _gpus(demand: Demand, offer: Registered) -> int:
    models = Counter(device.model for device in offer.devices)
    return max(
        n for model, n in models.items() if not demand.gpu_types or model in demand.gpu_types
    )


def _names(names: Iterable[str]) -> str:
    found = sorted(set(names))
    return ", ".join(found[:8]) + (" ..." if len(found) > 8 else "")
