"""What one seat asks of a node, and what a node has left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

from domain.scheduling.fleet import layout
from domain.values.checks import between
from domain.values.ids import NodeId
from domain.values.resources import LARGEST_OF_ONE

WHOLE = layout.WHOLE
MOST_GPUS = 16
MOST_MODELS = 62
ANY_MODEL = (1 << MOST_MODELS) - 1
LARGEST_COUNT = 2**32
"""The most that the counts of all typical demands may add up to: scores stay within 63 bits."""


class Score(IntEnum):
    """What makes a node the best one; each is deterministic, ties go to the first node."""

    FRAGMENT = 0  # leaves the least GPU that typical demands cannot use
    PACK = 1  # leaves the least GPU, then the least CPU
    SPREAD = 2  # leaves the most GPU, then the most CPU


@dataclass(frozen=True)
class Demand:
    """One seat: thousandths of CPU, bytes, and `gpus` GPUs with `gpu_milli` of each.

    `models` is the bit mask of accepted GPU model numbers. `key` names the caller's table of
    nodes that selectors, taints and constraints allow; empty allows all.
    """

    cpu_milli: int = 0
    memory_bytes: int = 0
    gpus: int = 0
    gpu_milli: int = WHOLE
    models: int = ANY_MODEL
    key: str = ""
    storage_bytes: int = 0
    network_mbps: int = 0

    def __post_init__(self) -> None:
        between("cpu_milli", self.cpu_milli, 0, LARGEST_OF_ONE)
        between("memory_bytes", self.memory_bytes, 0, LARGEST_OF_ONE)
        between("gpus", self.gpus, 0, MOST_GPUS)
        between("gpu_milli", self.gpu_milli, 1, WHOLE)
        between("models", self.models, 0, ANY_MODEL)
        between("storage_bytes", self.storage_bytes, 0, LARGEST_OF_ONE)
        between("network_mbps", self.network_mbps, 0, LARGEST_OF_ONE)

    @property
    def row(self) -> tuple[int, int, int, int, int, int, int]:
        """The numbers the kernels read."""
        return (
            self.cpu_milli,
            self.memory_bytes,
            self.gpus,
            self.gpu_milli,
            self.models,
            self.storage_bytes,
            self.network_mbps,
        )


@dataclass(frozen=True)
class FleetNode:
    """What a node has left now: CPU, memory, thousandths of each device (0: held or lost).

    The capacities bound what can be given back.
    """

    id: NodeId
    cpu_milli: int
    memory_bytes: int
    gpus: tuple[int, ...] = ()
    model: int = 0
    takes_work: bool = True
    cpu_capacity: int = LARGEST_OF_ONE
    memory_capacity: int = LARGEST_OF_ONE
    storage_bytes: int = LARGEST_OF_ONE
    network_mbps: int = LARGEST_OF_ONE

    def __post_init__(self) -> None:
        between("cpu_milli", self.cpu_milli, -LARGEST_OF_ONE, LARGEST_OF_ONE)
        between("memory_bytes", self.memory_bytes, -LARGEST_OF_ONE, LARGEST_OF_ONE)
        between("gpus", len(self.gpus), 0, MOST_GPUS)
        between("model", self.model, 0, MOST_MODELS - 1)
        for left in self.gpus:
            between("gpus", left, 0, WHOLE)

    @property
    def place(self) -> tuple[bytes, str]:
        """Where it stands in the order: by a hash, so that names and sizes do not decide."""
        return place_of(self.id)


def place_of(node: str) -> tuple[bytes, str]:
    """Where a node of this id stands in the order."""
    return (blake2b(node.encode(), digest_size=8).digest(), node)
