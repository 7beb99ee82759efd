"""Instances: what is taken of a node's GPUs in MIG mode, as bits of memory slices by GPU."""

from __future__ import annotations

from collections.abc import Iterable

from domain.node.events import Registered
from domain.values import mig
from domain.values.ids import DeviceId
from domain.values.mig import slot_of

Taken = dict[DeviceId, int]


def untouched(offer: Registered) -> tuple[dict[DeviceId, int], Taken]:
    """What an empty node has: thousandths of each whole GPU, and nothing taken of the others."""
    whole = {device.id: 1000 for device in offer.devices if not device.mig}
    return whole, {device.id: 0 for device in offer.devices if device.mig}


def occupy(taken: Taken, devices: Iterable[DeviceId]) -> None:
    """The instances among these devices are taken."""
    for device in devices:
        found = slot_of(device)
        if found is not None and found[0] in taken:
            taken[found[0]] |= found[1].mask


def is_free(taken: Taken, device: DeviceId) -> bool:
    """Whether the device is an instance of which nothing is taken."""
    found = slot_of(device)
    return found is not None and not taken.get(found[0], -1) & found[1].mask


def vacate(taken: Taken, devices: Iterable[DeviceId]) -> int:
    """The instances among these devices are free again; how many they are."""
    count = 0
    for device in devices:
        found = slot_of(device)
        if found is not None and found[0] in taken:
            taken[found[0]] &= ~found[1].mask
            count += 1
    return count


def both(one: Taken, other: Taken) -> Taken:
    """What is taken in either of two states of a node; all of a GPU that one of them lacks."""
    return {gpu: bits | other.get(gpu, -1) for gpu, bits in one.items()}


def count(offer: Registered, taken: Taken, profile: str, model: str) -> int:
    """How many instances of the profile fit on the node's GPUs of the model."""
    return sum(
        mig.count(device.mig, profile, taken[device.id])
        for device in offer.devices
        if device.model == model and device.id in taken
    )


def choose(
    offer: Registered, taken: Taken, profile: str, model: str
) -> tuple[int, tuple[DeviceId, ...]]:
    """The instance that costs the fewest places on its GPU, and how many; a seat has one."""
    rated = [
        (found[0], number, found[1].on(device.id))
        for number, device in enumerate(offer.devices)
        if device.model == model and device.id in taken
        if (found := mig.choose(device.mig, profile, taken[device.id])) is not None
    ]
    lost, _, name = min(rated)
    return lost, (name,)
