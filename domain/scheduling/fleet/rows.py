"""Nodes as rows of integers, and the racks and spines they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.scheduling.fleet import kernels, layout
from domain.scheduling.fleet.demand import FleetNode


@dataclass(frozen=True)
class Racks:
    """Racks numbered densely, those of a spine together.

    Rack r holds the node indexes `members[starts[r]:starts[r + 1]]`; spine s the racks from
    `spine_starts[s]` to `spine_starts[s + 1]`. `number` goes from the caller's rack number.
    """

    number: dict[int, int]
    starts: list[int]
    members: list[int]
    spine_starts: list[int]
    all: list[int]


def racks_of(ordered: Sequence[FleetNode]) -> Racks:
    """The racks of nodes in their order; a rack belongs to the spine of its first node."""
    nodes_in: dict[int, list[int]] = {}
    spine: dict[int, int] = {}
    for index, node in enumerate(ordered):
        nodes_in.setdefault(node.rack, []).append(index)
        spine.setdefault(node.rack, node.spine)
    racks = sorted(nodes_in, key=lambda rack: (spine[rack], rack))
    starts, members, spine_starts = [0], [], [0]
    for number, rack in enumerate(racks):
        members += nodes_in[rack]
        starts.append(len(members))
        if number and spine[rack] != spine[racks[number - 1]]:
            spine_starts.append(number)
    spine_starts.append(len(racks))
    dense = {rack: number for number, rack in enumerate(racks)}
    return Racks(dense, starts, members, spine_starts, list(range(len(racks))))


def node_row(node: FleetNode, rack: int) -> list[int]:
    """The integers of a node; `rack` is its dense number."""
    row = [0] * layout.STRIDE
    row[layout.CPU], row[layout.MEMORY] = node.cpu_milli, node.memory_bytes
    row[layout.TAKES], row[layout.MODEL] = int(node.takes_work), node.model
    row[layout.RACK], row[layout.SPINE] = rack, node.spine
    row[layout.DEVICES] = len(node.gpus)
    row[layout.CPU_CAPACITY], row[layout.MEMORY_CAPACITY] = (
        node.cpu_capacity,
        node.memory_capacity,
    )
    row[layout.STORAGE], row[layout.NETWORK] = node.storage_bytes, node.network_mbps
    row[layout.GPU : layout.GPU + len(node.gpus)] = node.gpus
    kernels.settle(row, 0)
    return row


def devices_of(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)
