"""The loops that count seats; plain Python that numba compiles, as `kernels`."""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    CPU,
    DEVICES,
    FREE,
    GPU,
    LEFT,
    MEMORY,
    MODEL,
    MOST_SEATS,
    NETWORK,
    NONE,
    STORAGE,
    STRIDE,
    TAKES,
    Ints,
)


def seats(nodes: Ints, at: int, demand: Ints) -> int:
    """How many seats of one demand the node takes at once, at most MOST_SEATS."""
    cpu, memory, need, milli = nodes[at + CPU], nodes[at + MEMORY], demand[2], demand[3]
    if nodes[at + TAKES] == 0 or cpu < 0 or memory < 0:
        return 0
    most = MOST_SEATS
    if demand[0] > 0:
        most = min(most, cpu // demand[0])
    if demand[1] > 0:
        most = min(most, memory // demand[1])
    if demand[5] > 0:
        most = min(most, nodes[at + STORAGE] // demand[5])
    if demand[6] > 0:
        most = min(most, nodes[at + NETWORK] // demand[6])
    if need == 0:
        return int(most)
    if not (demand[4] >> nodes[at + MODEL]) & 1:
        return 0
    if milli == 1000:
        return int(min(most, nodes[at + FREE] // need))
    low, high = 0, most
    high = min(high, nodes[at + LEFT] // (need * milli))
    while low < high:  # s seats fit if the devices hold s * need shares, at most s on each
        middle = (low + high + 1) // 2
        shares = 0
        for device in range(at + GPU, at + GPU + nodes[at + DEVICES]):
            shares += min(middle, nodes[device] // milli)
        if shares >= middle * need:
            low = middle
        else:
            high = middle - 1
    return int(low)


def count_each(nodes: Ints, allowed: Ints, demand: Ints, most: int, room: Ints) -> int:
    """Count the seats on each node, at most `most`, into `room`, and return their sum."""
    total = 0
    for i in range(len(allowed)):
        room[i] = min(most, seats(nodes, i * STRIDE, demand)) if allowed[i] else 0
        total += room[i]
    return total


def sum_groups(room: Ints, groups: Ints, sums: Ints) -> None:
    """Sum what is counted in `room` by the group of each node, NONE for no group, into `sums`."""
    for group in range(len(sums)):
        sums[group] = 0
    for i in range(len(groups)):
        if groups[i] != NONE:
            sums[groups[i]] += room[i]


def shortages(nodes: Ints, allowed: Ints, demand: Ints, counts: Ints, away: Ints) -> int:
    """Count allowed nodes that take work by what one seat lacks there first, into `counts`.

    0: it fits, else 1 GPUs, 2 CPU, 3 memory, 4 storage, 5 network. Nodes that take no work go into
    `away`; returns how many those are.
    """
    left_out = 0
    for i in range(len(allowed)):
        at = i * STRIDE
        if nodes[at + TAKES] == 0:
            away[left_out] = i
            left_out += 1
        elif allowed[i]:
            fit = 0
            for device in range(at + GPU, at + GPU + nodes[at + DEVICES]):
                if nodes[device] >= demand[3]:
                    fit += 1
            if fit < demand[2]:
                counts[1] += 1
            elif nodes[at + CPU] < demand[0]:
                counts[2] += 1
            elif nodes[at + MEMORY] < demand[1]:
                counts[3] += 1
            elif nodes[at + STORAGE] < demand[5]:
                counts[4] += 1
            elif nodes[at + NETWORK] < demand[6]:
                counts[5] += 1
            else:
                counts[0] += 1
    return left_out
