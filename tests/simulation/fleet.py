"""The nodes of a world: what each offers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from domain.node.events import Registered
from domain.values.ids import DeviceId, NodeId
from domain.values.mig import Slot
from domain.values.quantity import GIB
from domain.values.resources import Resources
from domain.values.topology import Device

SLOTS = (
    *(Slot("1g.5gb", start, 1) for start in range(7)),
    Slot("3g.20gb", 0, 4),
    Slot("3g.20gb", 4, 4),
)
"""The places of an A100 in MIG mode that some node allows."""


def offers(random: Random, slicing: Random | None) -> Iterator[Registered]:
    """Two to four nodes; with `slicing` some have one more GPU, in MIG mode, the first always."""
    for number in range(random.choice((2, 3, 4))):
        name = f"node-{number}"
        gpus = random.choice((2, 2, 4))
        devices = [Device(DeviceId(f"{name}-gpu{n}"), "A100", GIB) for n in range(gpus)]
        if slicing is not None and (number == 0 or slicing.random() < 0.5):
            devices.append(Device(DeviceId(f"{name}-mig"), "A100", GIB, mig=SLOTS))
        capacity = Resources(4000, 16 * GIB, 1000 * len(devices))
        runners = ("docker", "sandbox")
        yield Registered(NodeId(name), "", capacity, tuple(devices), runners)
