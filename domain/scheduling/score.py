"""Scores: how good a node is for a seat, and which of its devices the seat gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.policy.events import Score
from domain.scheduling import instances
from domain.scheduling.arrivals import Arrival
from domain.scheduling.demand import Demand
from domain.scheduling.fleet import kernels, layout
from domain.scheduling.fleet.demand import MOST_GPUS, WHOLE, place_of
from domain.scheduling.fleet.demand import Demand as Wanted
from domain.scheduling.fleet.demand import Score as Policy
from domain.scheduling.fleet.fleet import QUANTUM
from domain.scheduling.fleet.rows import devices_of, flat_typical
from domain.scheduling.space import Space
from domain.values.ids import DeviceId
from domain.values.resources import Resources

POLICIES = {
    Score.FRAGMENTATION: Policy.FRAGMENT,
    Score.PACK: Policy.PACK,
    Score.SPREAD: Policy.SPREAD,
}

Typical = tuple[tuple[Arrival, int], ...]


@dataclass(frozen=True)
class Scoring:
    """The policy's score, and what is asked for as a rule, with how often."""

    score: Score = Score.PACK
    typical: Typical = ()


def rate(
    demand: Demand, model: str, space: Space, scoring: Scoring
) -> tuple[int, tuple[DeviceId, ...]]:
    """The score of a node that a seat fits on, greater is better, and the devices it gets there.

    A MIG instance goes where it costs the fewest other places, whatever the policy. Without GPUs
    (no model) all of the node's count, as if they were of the first one's model.
    """
    if demand.mig:
        lost, chosen = instances.choose(space.node.offer, space.mig, demand.mig, model)
        return -lost, chosen
    devices, row = _row(space, model)
    offered = space.node.offer.devices
    model = model or (offered[0].model if offered else "")
    want, (flat, total) = demand.per_seat, _typical_row(scoring.typical, model)
    score, mask = kernels.rate(
        row, 0, _seat_row(want), flat, QUANTUM * total, int(POLICIES[scoring.score])
    )
    if want.gpu_milli < 1000:
        return score, tuple(devices[number] for number in devices_of(mask))
    return score, space.choose(want, model)


def fragments(space: Space, typical: Typical) -> tuple[int, float]:
    """GPU thousandths left on a node, and what of them typical seats cannot use on average.

    F of "Beware of Fragmentation" (ATC'23); GPUs of several models are nodes of their own.
    """
    left, lost = 0, 0.0
    for model in sorted({device.model for device in space.node.offer.devices}):
        row = _row(space, model)[1]
        flat, total = _typical_row(typical, model)
        left += row[layout.LEFT]
        lost += kernels.fragments(row, 0, flat) / total
    return left, lost


def _row(space: Space, model: str) -> tuple[list[DeviceId], list[int]]:
    """The node's devices of this model (all without one), and the node as the kernels read it."""
    offered = space.node.offer.devices
    devices = [d.id for d in offered if model in ("", d.model) and d.id in space.left]
    row = [0] * (layout.GPU + len(devices))
    row[layout.GPU :] = [space.left[device] for device in devices]
    row[layout.CPU], row[layout.MEMORY] = space.free.cpu_milli, space.free.memory_bytes
    row[layout.STORAGE], row[layout.NETWORK] = space.free.storage_bytes, space.free.network_mbps
    row[layout.TAKES], row[layout.DEVICES] = 1, len(devices)
    kernels.settle(row, 0)
    return devices, row


def typical_wanted(
    typical: Typical, mask: Callable[[tuple[str, ...]], int]
) -> list[tuple[Wanted, int]]:
    """What is asked for as a rule as fleets know it; `mask` is the bit mask of GPU types.

    Without seats that no row holds: whichever node is taken, they could use as much less after.
    """
    return [
        (Wanted(a.cpu_milli, 0, a.gpus, a.milli_each or WHOLE, mask(a.gpu_types)), count)
        for a, count in typical
        if a.gpus <= MOST_GPUS
    ]


def _seat_row(want: Resources) -> tuple[int, ...]:
    """One seat as the kernels read it, of however many GPUs, on model 0."""
    each = want.milli_each or WHOLE
    rest = (want.storage_bytes, want.network_mbps)
    return (want.cpu_milli, want.memory_bytes, want.gpus, each, 1, *rest)


@lru_cache(maxsize=64)
def _typical_row(typical: Typical, model: str) -> tuple[Sequence[int], int]:
    """What is asked for as a rule on nodes of this model, which is model 0, and its count."""
    found = typical_wanted(typical, lambda types: int(not types or model in types))
    return flat_typical(found), max(1, sum(count for _, count in found))


@lru_cache(maxsize=1 << 16)
def order_of(node: str) -> tuple[bytes, str]:
    """Where a node stands among equals: by a hash, so that names do not decide."""
    return place_of(node)
