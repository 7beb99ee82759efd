"""MIG: instances of a GPU, where each may lie, and which place leaves most for others.

A100 and H100 (40, 80, 94 GB and more) have 7 compute and 8 memory slices. An instance of a profile
occupies memory slices in a row, from one of few starts, as `nvidia-smi mig -lgipp` lists them:
NVIDIA Multi-Instance GPU User Guide, "Supported MIG Profiles" and "Creating GPU Instances"
(docs.nvidia.com/datacenter/tesla/mig-user-guide). Two instances fit beside each other if their
memory slices do not overlap: with these starts the compute slices then suffice too. At most one
instance of a GPU has the media extensions (`+me`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.errors import Invalid
from domain.values.ids import DeviceId

SLICES = 8
"""Memory slices of a GPU."""
COMPUTE = 7
"""Compute slices of a GPU."""
STARTS: dict[tuple[int, int], tuple[int, ...]] = {
    (1, 1): (0, 1, 2, 3, 4, 5, 6),
    (1, 2): (
        0,
        2,
        4,
        6,
    ),  # one compute slice with twice the memory: 1g.10gb of 40 GB, 1g.20gb of 80
    (2, 2): (0, 2, 4),
    (3, 4): (0, 4),
    (4, 4): (0,),
    (7, 8): (0,),
}
"""Where an instance with so many (compute, memory) slices may start."""
SLICED_MODELS = frozenset({"A100", "H100", "H200"})
"""Models these starts hold for; of others, what their driver says is taken as it is."""
_PROFILE = re.compile(r"([1-7])g\.([1-9][0-9]{0,3})gb(\+me)?")
_SLOT = re.compile(r"(.+)/([^/@]+)@([0-7]):([1-8])")
_MEDIA = 1 << SLICES


def check_profile(field: str, name: str) -> str:
    """`name` if it is like `1g.10gb` or `1g.10gb+me`; else Invalid."""
    if not _PROFILE.fullmatch(name):
        detail = f"{field}: write a MIG profile such as 1g.10gb, 3g.40gb or 1g.10gb+me"
        raise Invalid("bad_mig_profile", detail, field=field)
    return name


def milli_of(profile: str) -> int:
    """The thousandths of a GPU a profile counts for: its sevenths of the compute, rounded down."""
    match = _PROFILE.fullmatch(profile)
    assert match is not None, f"{profile} was not checked"
    return 1000 * int(match[1]) // COMPUTE


@dataclass(frozen=True)
class Slot:
    """A place for an instance: profile, first memory slice, memory slices."""

    profile: str
    start: int
    size: int

    @property
    def mask(self) -> int:
        """The memory slices as bits, and one for the media extensions."""
        media = _MEDIA if self.profile.endswith("+me") else 0
        return ((1 << self.size) - 1) << self.start | media

    def on(self, gpu: DeviceId) -> DeviceId:
        """The name by which a seat holds it: `GPU-5a.../1g.10gb@3:1`."""
        return DeviceId(f"{gpu}/{self.profile}@{self.start}:{self.size}")


def slot_of(device: DeviceId) -> tuple[DeviceId, Slot] | None:
    """The GPU and the place a seat's device names, None if it is a GPU as such."""
    match = _SLOT.fullmatch(device)
    if match is None:
        return None
    return DeviceId(match[1]), Slot(match[2], int(match[3]), int(match[4]))


def check_slots(field: str, model: str, slots: Sequence[Slot]) -> None:
    """Refuse places that no instance of such a GPU can have, and any named twice."""
    if len(set(slots)) != len(slots):
        raise Invalid("bad_devices", f"{field}: name each place once", field=field)
    for slot in slots:
        profile = check_profile(field, slot.profile)
        compute = int(profile[0])
        legal = model not in SLICED_MODELS or slot.start in STARTS.get((compute, slot.size), ())
        if not legal or slot.start < 0 or not 1 <= slot.size <= SLICES - slot.start:
            at = f"{slot.start}:{slot.size}"
            detail = f"{field}: {profile} cannot lie at {at} of an {model}"
            raise Invalid("bad_devices", detail, field=field)


def free(slots: Iterable[Slot], profile: str, taken: int) -> list[Slot]:
    """The places of the profile beside what is taken (bits of `Slot.mask`)."""
    return [slot for slot in slots if slot.profile == profile and not slot.mask & taken]


def count(slots: Iterable[Slot], profile: str, taken: int) -> int:
    """How many instances of the profile fit at once: its places never overlap each other."""
    found = len(free(slots, profile, taken))
    return min(1, found) if profile.endswith("+me") else found


def choose(slots: Sequence[Slot], profile: str, taken: int) -> tuple[int, Slot] | None:
    """The place that costs the fewest others, of equals the last, and how many; None if full."""
    open_now = [slot for slot in slots if not slot.mask & taken]
    rated = [
        (sum(bool(other.mask & slot.mask) for other in open_now), -slot.start, slot)
        for slot in free(slots, profile, taken)
    ]
    if not rated:
        return None
    lost, _, best = min(rated, key=lambda each: each[:2])
    return lost, best
