"""What the laws have in common: how they fail, and what stood when something was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from domain.values import mig
from domain.values.ids import DeviceId

Value = TypeVar("Value")
Fail = Callable[[str, str, str], None]
"""Told the invariant, what is wrong, and with which job."""


def standing(known: list[tuple[int, Value]], read: int) -> list[Value]:
    """What stood at the position that was read, and whatever came after it."""
    before = [value for position, value in known if position <= read]
    return [*before[-1:], *(value for position, value in known if position > read)]


def given_twice(devices: Iterable[str]) -> set[str]:
    """The GPUs of which something is in two hands: the whole GPU, or a memory slice of it."""
    slices: dict[str, set[int]] = {}
    twice = set()
    for device in devices:
        found = mig.slot_of(DeviceId(device))
        gpu, mine = device, set(range(-1, mig.SLICES))
        if found is not None:
            gpu, mine = str(found[0]), set(range(found[1].start, found[1].start + found[1].size))
        if not mine.isdisjoint(slices.setdefault(gpu, set())):
            twice.add(gpu)
        slices[gpu] |= mine
    return twice
