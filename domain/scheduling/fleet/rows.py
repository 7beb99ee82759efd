"""Nodes and what is typical as rows of integers."""

from __future__ import annotations

from collections.abc import Sequence

from domain.scheduling.fleet import kernels, layout
from domain.scheduling.fleet.demand import Demand, FleetNode


def node_row(node: FleetNode) -> list[int]:
    """The integers of a node."""
    row = [0] * layout.STRIDE
    row[layout.CPU], row[layout.MEMORY] = node.cpu_milli, node.memory_bytes
    row[layout.TAKES], row[layout.MODEL] = int(node.takes_work), node.model
    row[layout.DEVICES] = len(node.gpus)
    row[layout.CPU_CAPACITY], row[layout.MEMORY_CAPACITY] = (
        node.cpu_capacity,
        node.memory_capacity,
    )
    row[layout.STORAGE], row[layout.NETWORK] = node.storage_bytes, node.network_mbps
    row[layout.GPU : layout.GPU + len(node.gpus)] = node.gpus
    kernels.settle(row, 0)
    return row


def flat_typical(typical: Sequence[tuple[Demand, int]]) -> list[int]:
    """Typical demands and their counts, those that ask the same of GPUs together."""
    alike = sorted(typical, key=lambda each: each[0].row[2:])
    return [value for demand, count in alike for value in (*demand.row[:5], count)]


def devices_of(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)
