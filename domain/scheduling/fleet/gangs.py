"""The loops that count seats and seat gangs; plain Python that numba compiles, as `kernels`."""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    BUCKETS,
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


def tightest(values: Ints, within: Ints, begin: int, end: int, wanted: int) -> int:
    """The first of the least values that reach `wanted`, else of the greatest; NONE if all are 0.

    Looks at `values[i]` for each i of `within[begin:end]`.
    """
    best = NONE
    for place in range(begin, end):
        i = within[place]
        value = values[i]
        if value <= 0:
            continue
        if best == NONE:
            best = i
        elif values[best] >= wanted:
            if wanted <= value < values[best]:
                best = i
        elif value > values[best]:
            best = i
    return best


def seat_rack(
    starts: Ints, members: Ints, rack: int, wanted: int, room: Ints, out: Ints, done: int
) -> int:
    """Seat `wanted` seats in a rack whose `room` is counted: a node and its seats each to `out`."""
    while wanted > 0:
        i = tightest(room, members, starts[rack], starts[rack + 1], wanted)
        here = min(wanted, room[i])
        out[2 * done] = i
        out[2 * done + 1] = here
        done += 1
        room[i] = 0
        wanted -= here
    return done


def count_rack(
    nodes: Ints, allowed: Ints, starts: Ints, members: Ints, rack: int, demand: Ints, room: Ints
) -> int:
    """Count the seats on each node of a rack into `room`, and return their sum."""
    total = 0
    for place in range(starts[rack], starts[rack + 1]):
        i = members[place]
        room[i] = seats(nodes, i * STRIDE, demand) if allowed[i] else 0
        total += room[i]
    return total


def bounds(nodes: Ints, allowed: Ints, buckets: Ints, starts: Ints, members: Ints, demand: Ints,
           room: Ints, sums: Ints) -> int:  # fmt: skip
    """No fewer seats than each rack takes, into `sums`: by buckets for whole GPUs, else exact."""
    total, need = 0, demand[2]
    for rack in range(len(starts) - 1):
        found = 0
        if need > 0 and demand[3] == 1000:
            for free in range(need, BUCKETS):
                found += buckets[rack * BUCKETS + free] * (free // need)
        else:
            found = count_rack(nodes, allowed, starts, members, rack, demand, room)
        sums[rack] = found
        total += found
    return total


def gang(
    nodes: Ints, allowed: Ints, buckets: Ints, starts: Ints, members: Ints, spine_starts: Ints,
    demand: Ints, count: int, room: Ints, sums: Ints, racks: Ints, out: Ints,
) -> int:  # fmt: skip
    """Seats for a whole gang: in the tightest rack, else in the tightest spine, else anywhere.

    Racks of a spine stand together; `racks` lists them all. Writes nodes and their seats to `out`
    and returns how many nodes, or 0.
    """
    if bounds(nodes, allowed, buckets, starts, members, demand, room, sums) < count:
        return 0
    while True:
        rack = tightest(sums, racks, 0, len(racks), count)
        if rack == NONE or sums[rack] < count:
            break
        sums[rack] = count_rack(nodes, allowed, starts, members, rack, demand, room)
        if sums[rack] >= count:
            return seat_rack(starts, members, rack, count, room, out, 0)
    total, best, least = 0, NONE, 0
    for spine in range(len(spine_starts) - 1):
        here = 0
        for rack in range(spine_starts[spine], spine_starts[spine + 1]):
            sums[rack] = count_rack(nodes, allowed, starts, members, rack, demand, room)
            here += sums[rack]
        total += here
        if here >= count and (best == NONE or here < least):
            best, least = spine, here
    if total < count:
        return 0
    begin, end = 0, len(racks)
    if best != NONE:
        begin, end = spine_starts[best], spine_starts[best + 1]
    done = 0
    while count > 0:
        rack = tightest(sums, racks, begin, end, count)
        here = min(sums[rack], count)
        done = seat_rack(starts, members, rack, here, room, out, done)
        sums[rack] = 0
        count -= here
    return done


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
