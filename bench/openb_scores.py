"""The six published scores, over the rows of a real fleet: how `default` is judged.

Formulas: ATC'23 "Beware of Fragmentation"; scores are integers, equal ones go to the first node.
"""

from __future__ import annotations

import math
from typing import Any

from domain.scheduling.fleet.kernels import fits, fragments, pick, shift
from domain.scheduling.fleet.layout import (
    CPU,
    DEVICES,
    FRAGMENTS,
    FREE,
    GPU,
    LEFT,
    STRIDE,
    UNKNOWN,
    Ints,
)

RANDOM, DOTPROD, CLUSTERING, PACKING, BESTFIT, FGD = range(6)
PUBLISHED = {
    "random": RANDOM,
    "dotprod": DOTPROD,
    "clustering": CLUSTERING,
    "packing": PACKING,
    "bestfit": BESTFIT,
    "fgd": FGD,
}
CPUS, GPUS = 128_000, 8_000


def affinity(demand: Ints) -> int:
    """The kind of task that clustering puts together: 0 for shares, else the number of GPUs."""
    return int(0 if demand[2] == 1 and demand[3] < 1000 else demand[2])


def clustering(nodes: Ints, at: int, kinds: int, demand: Ints) -> int:
    """Bands of 25: only such tasks, also such tasks, empty, other tasks; fuller is better."""
    if demand[2] == 0:
        return 0
    full = GPUS - nodes[at + LEFT]
    mine = 1 << affinity(demand)
    if kinds == 0:
        return int(25 * full // GPUS + 25)
    if not kinds & mine:
        return int(25 * full // GPUS)
    return int(25 * full // GPUS + (75 if kinds == mine else 50))


def packing(nodes: Ints, at: int, demand: Ints, mask: int) -> int:
    """GPUs in use first, then free ones of a node in use, then nodes by their free GPUs."""
    free = nodes[at + FREE]
    if demand[2] == 0:
        return 0
    if free == nodes[at + DEVICES]:
        return int(max(33 - free, free))
    fresh, percent = 0, 0
    for d in range(nodes[at + DEVICES]):
        if (mask >> d) & 1:
            fresh += nodes[at + GPU + d] == 1000
            percent += nodes[at + GPU + d] // 10
    if fresh > 0:
        return int(max(50 - fresh, 33))
    return int(max(100 - percent // 10, 50))


def descent(nodes: Ints, at: int, demand: Ints, typical: Ints, total: int) -> tuple[int, int]:
    """The sigmoid of how much the fragments shrink, and the device or devices."""
    if nodes[at + FRAGMENTS] == UNKNOWN:
        nodes[at + FRAGMENTS] = fragments(nodes, at, typical)
    before = nodes[at + FRAGMENTS]
    share = demand[2] == 1 and demand[3] < 1000
    best, found = -1, 0
    for d in range(nodes[at + DEVICES] if share else 1):
        if share and nodes[at + GPU + d] < demand[3]:
            continue
        mask = 1 << d if share else pick(nodes, at, demand, False)
        shift(nodes, at, demand, mask, -1)
        after = fragments(nodes, at, typical)
        shift(nodes, at, demand, mask, 1)
        score = int(100 / (1 + math.exp((after - before) / total / 1000)))
        if score > best:
            best, found = score, mask
    nodes[at + FRAGMENTS] = before
    return best, found


def published(
    nodes: Ints, order: Ints, kinds: Ints, demand: Ints, typical: Ints, total: int, policy: int,
    chance: int,
) -> tuple[int, int]:  # fmt: skip
    """The node and devices that a published score picks, or -1; `chance` serves `random`."""
    best, found, devices, seen = -1, -1, 0, 0
    for i in order:
        at = i * STRIDE
        if not fits(nodes, at, demand):
            continue
        mask = pick(nodes, at, demand, False)
        cpu, gpu, want = nodes[at + CPU], nodes[at + LEFT], demand[2] * demand[3]
        if policy == RANDOM:  # each of those seen so far is the one with equal chance
            seen += 1
            chance = (chance * 1103515245 + 12345) & 0x7FFFFFFF
            score = best + 1 if (chance >> 8) % seen == 0 else -1
        elif policy == DOTPROD:
            dot = cpu / CPUS * (demand[0] / CPUS) + gpu / GPUS * (want / GPUS)
            score = int(100 * (1 - dot / 2))
        elif policy == CLUSTERING:
            score = clustering(nodes, at, kinds[i], demand)
        elif policy == PACKING:
            score = packing(nodes, at, demand, mask)
        elif policy == BESTFIT:
            score = int(100 * (1 - 0.5 * (cpu - demand[0]) / CPUS - 0.5 * (gpu - want) / GPUS))
        else:
            score, mask = descent(nodes, at, demand, typical, total)
        if score > best:
            best, found, devices = score, i, mask
    if policy == RANDOM and found >= 0 and demand[2] == 1:
        at = found * STRIDE
        seen = 0
        for d in range(nodes[at + DEVICES]):
            if nodes[at + GPU + d] >= demand[3]:
                seen += 1
                chance = (chance * 1103515245 + 12345) & 0x7FFFFFFF
                if (chance >> 8) % seen == 0:
                    devices = 1 << d
    return found, devices


def compiled() -> Any:
    """`published`, compiled for large fleets."""
    import numba
    from numba.extending import register_jitable

    from domain.scheduling.fleet import compiled as fleet_kernels

    assert fleet_kernels.__name__  # with it, what is called here became known to numba
    for each in (affinity, clustering, packing, descent):
        register_jitable(each)
    return numba.njit(published)
