"""Resources: what a job asks for and a node has, in integers."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import Invalid
from domain.values.checks import between
from domain.values.quantity import LARGEST

LARGEST_OF_ONE = 2**50
"""The most one seat may ask for, or one node offer, of anything: sums stay within 63 bits."""


@dataclass(frozen=True)
class Resources:
    """An amount of each resource: thousandths of a CPU, bytes, thousandths of a GPU."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0

    def __post_init__(self) -> None:
        for field in ("cpu_milli", "memory_bytes", "gpu_milli"):
            value = getattr(self, field)
            if not 0 <= value <= LARGEST:
                raise Invalid("out_of_range", f"{field}: must be 0 to {LARGEST}", field=field)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpu_milli + other.cpu_milli,
            self.memory_bytes + other.memory_bytes,
            self.gpu_milli + other.gpu_milli,
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            self.cpu_milli - other.cpu_milli,
            self.memory_bytes - other.memory_bytes,
            self.gpu_milli - other.gpu_milli,
        )

    def less(self, other: Resources) -> Resources:
        """What is left after `other`, of each resource at least nothing."""
        return Resources(
            max(0, self.cpu_milli - other.cpu_milli),
            max(0, self.memory_bytes - other.memory_bytes),
            max(0, self.gpu_milli - other.gpu_milli),
        )

    def __mul__(self, count: int) -> Resources:
        return Resources(self.cpu_milli * count, self.memory_bytes * count, self.gpu_milli * count)

    def fits(self, other: Resources) -> bool:
        """Whether this amount lies within `other` in every resource."""
        return (
            self.cpu_milli <= other.cpu_milli
            and self.memory_bytes <= other.memory_bytes
            and self.gpu_milli <= other.gpu_milli
        )

    def check_one(self, field: str) -> None:
        """Refuse an amount no single seat or node can have."""
        between(f"{field}.cpu_milli", self.cpu_milli, 0, LARGEST_OF_ONE)
        between(f"{field}.memory_bytes", self.memory_bytes, 0, LARGEST_OF_ONE)
        between(f"{field}.gpu_milli", self.gpu_milli, 0, LARGEST_OF_ONE)

    @property
    def whole_gpus(self) -> int:
        """The number of GPUs the amount stands for; only whole GPUs are placed so far."""
        return self.gpu_milli // 1000


NOTHING = Resources()
