"""Resources: what a job asks for and a node has, in integers."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import Invalid
from domain.values.checks import between
from domain.values.quantity import LARGEST

LARGEST_OF_ONE = 2**50
"""The most one seat may ask for, or one node offer, of anything: sums stay within 63 bits."""


_FIELDS = ("cpu_milli", "memory_bytes", "gpu_milli", "storage_bytes", "network_mbps")


@dataclass(frozen=True)
class Resources:
    """An amount of each resource: thousandths of a CPU, bytes of memory, thousandths of a GPU,
    bytes of local storage, megabits a second of network.

    Less than 1000 `gpu_milli` is a share of one GPU; more is a number of whole ones.
    """

    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu_milli: int = 0
    storage_bytes: int = 0
    network_mbps: int = 0

    def __post_init__(self) -> None:
        if (
            0 <= self.cpu_milli <= LARGEST
            and 0 <= self.memory_bytes <= LARGEST
            and 0 <= self.gpu_milli <= LARGEST
            and 0 <= self.storage_bytes <= LARGEST
            and 0 <= self.network_mbps <= LARGEST
        ):
            return
        field = next(name for name in _FIELDS if not 0 <= getattr(self, name) <= LARGEST)
        raise Invalid("out_of_range", f"{field}: must be 0 to {LARGEST}", field=field)

    def __add__(self, other: Resources) -> Resources:
        return _checked(
            self.cpu_milli + other.cpu_milli,
            self.memory_bytes + other.memory_bytes,
            self.gpu_milli + other.gpu_milli,
            self.storage_bytes + other.storage_bytes,
            self.network_mbps + other.network_mbps,
        )

    def __sub__(self, other: Resources) -> Resources:
        return _checked(
            self.cpu_milli - other.cpu_milli,
            self.memory_bytes - other.memory_bytes,
            self.gpu_milli - other.gpu_milli,
            self.storage_bytes - other.storage_bytes,
            self.network_mbps - other.network_mbps,
        )

    def less(self, other: Resources) -> Resources:
        """What is left after `other`, of each resource at least nothing."""
        cpu, memory = self.cpu_milli - other.cpu_milli, self.memory_bytes - other.memory_bytes
        gpu, storage = self.gpu_milli - other.gpu_milli, self.storage_bytes - other.storage_bytes
        network = self.network_mbps - other.network_mbps
        return _made(  # unchecked, as it lies within this one: a cycle asks for thousands
            cpu if cpu > 0 else 0,
            memory if memory > 0 else 0,
            gpu if gpu > 0 else 0,
            storage if storage > 0 else 0,
            network if network > 0 else 0,
        )

    def least(self, other: Resources) -> Resources:
        """The smaller amount of each resource."""
        return Resources(
            min(self.cpu_milli, other.cpu_milli),
            min(self.memory_bytes, other.memory_bytes),
            min(self.gpu_milli, other.gpu_milli),
            min(self.storage_bytes, other.storage_bytes),
            min(self.network_mbps, other.network_mbps),
        )

    def __mul__(self, count: int) -> Resources:
        if count == 1:
            return self
        return Resources(
            self.cpu_milli * count,
            self.memory_bytes * count,
            self.gpu_milli * count,
            self.storage_bytes * count,
            self.network_mbps * count,
        )

    def fits(self, other: Resources) -> bool:
        """Whether this amount lies within `other` in every resource."""
        return (
            self.cpu_milli <= other.cpu_milli
            and self.memory_bytes <= other.memory_bytes
            and self.gpu_milli <= other.gpu_milli
            and self.storage_bytes <= other.storage_bytes
            and self.network_mbps <= other.network_mbps
        )

    def check_one(self, field: str) -> None:
        """Refuse an amount no single seat or node can have."""
        if self.fits(_MOST_OF_ONE):
            return
        for name in _FIELDS:
            between(f"{field}.{name}", getattr(self, name), 0, LARGEST_OF_ONE)

    @property
    def gpus(self) -> int:
        """How many GPUs the amount touches: a share touches one."""
        return -(-self.gpu_milli // 1000)

    @property
    def milli_each(self) -> int:
        """Thousandths of each GPU it touches: 1000, or the share."""
        return min(1000, self.gpu_milli)


NOTHING = Resources()
_MOST_OF_ONE = Resources(*[LARGEST_OF_ONE] * len(_FIELDS))


def _made(cpu: int, memory: int, gpu: int, storage: int, network: int) -> Resources:
    """Unchecked: several times faster, and sums are most of what is ever made."""
    found = object.__new__(Resources)
    fields = found.__dict__
    fields["cpu_milli"], fields["memory_bytes"], fields["gpu_milli"] = cpu, memory, gpu
    fields["storage_bytes"], fields["network_mbps"] = storage, network
    return found


def _checked(cpu: int, memory: int, gpu: int, storage: int, network: int) -> Resources:
    """As the class makes them."""
    if (
        0 <= cpu <= LARGEST
        and 0 <= memory <= LARGEST
        and 0 <= gpu <= LARGEST
        and 0 <= storage <= LARGEST
        and 0 <= network <= LARGEST
    ):
        return _made(cpu, memory, gpu, storage, network)
    return Resources(cpu, memory, gpu, storage, network)
