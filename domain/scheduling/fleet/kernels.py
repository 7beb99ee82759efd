"""The loops of the placement engine: plain Python over flat integers, which numba compiles too.

A node is `STRIDE` integers of `nodes`, a demand the five of `Demand.row`, a typical demand
`TYPE` integers of `typical`: a demand and its count. All of them are in this one file because
numba's cache looks at no other for changes. Lists and int64 arrays serve alike.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Ints: TypeAlias = Any  # list[int], or an int64 array where the loops are compiled

STRIDE = 32
CPU, MEMORY, TAKES, MODEL, RACK, SPINE, DEVICES, LEFT, FREE, FRAGMENTS = range(10)
CPU_CAPACITY, MEMORY_CAPACITY = 10, 11
GPU = 16  # then one integer a device: thousandths left
TYPE = 6
COUNT = 5
UNKNOWN = -1
NONE = -1
MIDDLE = 1 << 40  # lifts fragmentation scores above NONE
SHIFT = 40
MOST_SEATS = 1 << 20
BUCKETS = 17  # nodes of a rack by whole GPUs free, 0 to 16
MEMO = 4096


def settle(nodes: Ints, at: int) -> None:
    """Count anew what follows from the devices of the node at `at`."""
    left, free = 0, 0
    for device in range(at + GPU, at + GPU + nodes[at + DEVICES]):
        left += nodes[device]
        if nodes[device] == 1000:
            free += 1
    nodes[at + LEFT] = left
    nodes[at + FREE] = free
    nodes[at + FRAGMENTS] = UNKNOWN


def fragments(nodes: Ints, at: int, typical: Ints) -> int:
    """GPU thousandths left on a node that typical demands cannot use, summed over their counts."""
    left, cpu, free = nodes[at + LEFT], nodes[at + CPU], nodes[at + FREE]
    model, devices = nodes[at + MODEL], nodes[at + DEVICES]
    total = 0
    if left == 0:
        return total
    for t in range(0, len(typical), TYPE):
        need, milli = typical[t + 2], typical[t + 3]
        lost = left
        if need > 0 and cpu >= typical[t] and (typical[t + 4] >> model) & 1:
            if milli == 1000:
                if free >= need:
                    lost = left - 1000 * free
            else:
                fit, small = 0, 0
                for device in range(at + GPU, at + GPU + devices):
                    if nodes[device] >= milli:
                        fit += 1
                    else:
                        small += nodes[device]
                if fit >= need:
                    lost = small
        total += typical[t + COUNT] * lost
    return total


def fits(nodes: Ints, at: int, demand: Ints) -> bool:
    """Whether one seat fits on the node, devices aside from eligibility."""
    need, milli = demand[2], demand[3]
    if nodes[at + TAKES] == 0 or nodes[at + CPU] < demand[0] or nodes[at + MEMORY] < demand[1]:
        return False
    if need == 0:
        return True
    if not (demand[4] >> nodes[at + MODEL]) & 1:
        return False
    if milli == 1000:
        return bool(nodes[at + FREE] >= need)
    fit = 0
    for device in range(at + GPU, at + GPU + nodes[at + DEVICES]):
        if nodes[device] >= milli:
            fit += 1
    return fit >= need


def pick(nodes: Ints, at: int, demand: Ints, loose: bool) -> int:
    """The devices for a seat that fits, as a bit mask.

    Whole GPUs: the first free. One share: the tightest device, the fullest left if `loose`.
    Several shares: always the loosest, which leaves room for the most seats.
    """
    need, milli, mask = demand[2], demand[3], 0
    loose = loose or need > 1
    for _ in range(need):
        best = NONE
        for d in range(nodes[at + DEVICES]):
            left = nodes[at + GPU + d]
            if left < milli or (mask >> d) & 1:
                continue
            if best == NONE or (left > nodes[at + GPU + best]) == loose:
                if best == NONE or left != nodes[at + GPU + best]:
                    best = d
        mask |= 1 << best
    return mask


def shift(nodes: Ints, at: int, demand: Ints, mask: int, sign: int) -> None:
    """Take a seat from the node (`sign` -1) or give it back (1)."""
    nodes[at + CPU] += sign * demand[0]
    nodes[at + MEMORY] += sign * demand[1]
    if mask:
        for d in range(nodes[at + DEVICES]):
            if (mask >> d) & 1:
                nodes[at + GPU + d] += sign * demand[3]
    settle(nodes, at)


def gradient(nodes: Ints, at: int, demand: Ints, mask: int, typical: Ints, quantum: int) -> int:
    """By how many quanta the fragments shrink if the seat is put there, rounded down."""
    before = nodes[at + FRAGMENTS]
    if before == UNKNOWN:
        before = fragments(nodes, at, typical)
    shift(nodes, at, demand, mask, -1)
    after = fragments(nodes, at, typical)
    shift(nodes, at, demand, mask, 1)
    nodes[at + FRAGMENTS] = before
    return int((before - after) // quantum + MIDDLE)


def rate(
    nodes: Ints, at: int, demand: Ints, typical: Ints, quantum: int, policy: int
) -> tuple[int, int]:
    """The score of a node for a demand and the devices to use; NONE where it does not fit."""
    if not fits(nodes, at, demand):
        return NONE, 0
    if policy != 0:
        mask = pick(nodes, at, demand, policy == 2)
        gpu = nodes[at + LEFT] - demand[2] * demand[3]
        after = (gpu << SHIFT) | min(nodes[at + CPU] - demand[0], (1 << SHIFT) - 1)
        return (after if policy == 2 else (1 << 60) - after), mask
    if demand[2] != 1 or demand[3] == 1000:
        mask = pick(nodes, at, demand, False)
        return gradient(nodes, at, demand, mask, typical, quantum), mask
    best, found = NONE, 0
    for d in range(nodes[at + DEVICES]):
        left = nodes[at + GPU + d]
        same = left < demand[3]
        for e in range(d):
            same = same or nodes[at + GPU + e] == left
        if not same:
            score = gradient(nodes, at, demand, 1 << d, typical, quantum)
            if score > best:
                best, found = score, 1 << d
    return best, found


def alike(nodes: Ints, at: int, other: int) -> bool:
    """Whether two nodes have the same left in all that a score reads."""
    for column in (CPU, MEMORY, TAKES, MODEL, DEVICES):
        if nodes[at + column] != nodes[other + column]:
            return False
    for d in range(GPU, GPU + nodes[at + DEVICES]):
        if nodes[at + d] != nodes[other + d]:
            return False
    return True


def fill(
    nodes: Ints, allowed: Ints, tree: Ints, memo: Ints, demand: Ints, typical: Ints,
    quantum: int, policy: int,
) -> None:  # fmt: skip
    """Score every node; nodes that are alike are scored once. `memo` is MEMO integers."""
    half = len(tree) // 2
    for slot in range(MEMO):
        memo[slot] = NONE
    for i in range(len(nodes) // STRIDE):
        at = i * STRIDE
        if allowed[i] == 0:
            tree[half + i] = NONE
            continue
        mix = nodes[at + CPU] ^ (nodes[at + MODEL] << 7) ^ (nodes[at + MEMORY] >> 20)
        for d in range(nodes[at + DEVICES]):
            mix = ((mix & 0xFFFFFFF) * 31 + nodes[at + GPU + d]) & 0xFFFFFFF
        slot = (mix ^ (mix >> 12)) & (MEMO - 1)
        same = memo[slot]
        if same >= 0 and alike(nodes, at, same * STRIDE):
            tree[half + i] = tree[half + same]
        else:
            tree[half + i] = rate(nodes, at, demand, typical, quantum, policy)[0]
            memo[slot] = i
    for k in range(half - 1, 0, -1):
        tree[k] = max(tree[2 * k], tree[2 * k + 1])


def choose(
    nodes: Ints, allowed: Ints, tree: Ints, log: Ints, stamps: Ints, memo: Ints, head: int,
    cursor: int, demand: Ints, typical: Ints, quantum: int, policy: int,
) -> tuple[int, int]:  # fmt: skip
    """The first of the best nodes and its devices, or NONE; the tree is repaired first.

    `log` is a ring of the nodes that changed, `head` its end, `cursor` what the tree has seen,
    `stamps` the last place of each node in it.
    """
    half, ring = len(tree) // 2, len(log)
    if cursor < 0 or head - cursor > ring:
        fill(nodes, allowed, tree, memo, demand, typical, quantum, policy)
    else:
        for place in range(cursor, head):
            i = log[place & (ring - 1)]
            if stamps[i] != place:
                continue  # it changed again later
            score = NONE
            if allowed[i]:
                score = rate(nodes, i * STRIDE, demand, typical, quantum, policy)[0]
            k = half + i
            while k > 0 and tree[k] != score:
                tree[k] = score
                k >>= 1
                if k > 0:
                    score = max(tree[2 * k], tree[2 * k + 1])
    if tree[1] == NONE:
        return NONE, 0
    k = 1
    while k < half:
        k = 2 * k if tree[2 * k] == tree[k] else 2 * k + 1
    found = k - half
    return found, rate(nodes, found * STRIDE, demand, typical, quantum, policy)[1]


def note(log: Ints, stamps: Ints, head: int, i: int) -> None:
    """Write into the ring that node `i` changed."""
    log[head & (len(log) - 1)] = i
    stamps[i] = head


def count_in(nodes: Ints, buckets: Ints, at: int, by: int) -> None:
    """Count a node that takes work in its rack's bucket, or out of it."""
    if nodes[at + TAKES]:
        buckets[nodes[at + RACK] * BUCKETS + nodes[at + FREE]] += by


def take(
    nodes: Ints, buckets: Ints, log: Ints, stamps: Ints, head: int, i: int, demand: Ints,
    mask: int, sign: int,
) -> bool:  # fmt: skip
    """Take (-1) or give back (1) a seat; False, and nothing done, if the node does not allow it."""
    at = i * STRIDE
    cpu, memory = nodes[at + CPU] + sign * demand[0], nodes[at + MEMORY] + sign * demand[1]
    if cpu > nodes[at + CPU_CAPACITY] or memory > nodes[at + MEMORY_CAPACITY]:
        return False
    if sign < 0 and (cpu < 0 or memory < 0):
        return False
    if mask >> nodes[at + DEVICES]:
        return False
    held = 0
    for d in range(nodes[at + DEVICES]):
        if (mask >> d) & 1:
            held += 1
            if not 0 <= nodes[at + GPU + d] + sign * demand[3] <= 1000:
                return False
    if held != demand[2]:
        return False
    count_in(nodes, buckets, at, -1)
    shift(nodes, at, demand, mask, sign)
    count_in(nodes, buckets, at, 1)
    note(log, stamps, head, i)
    return True


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


def seats_in(nodes: Ints, allowed: Ints, demand: Ints, enough: int) -> int:
    """How many seats fit on all nodes together, counted up to `enough`."""
    found = 0
    for i in range(len(allowed)):
        if allowed[i]:
            found += seats(nodes, i * STRIDE, demand)
            if found >= enough:
                return enough
    return found


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
    nodes: Ints, starts: Ints, members: Ints, rack: int, demand: Ints, wanted: int, room: Ints,
    out: Ints, done: int,
) -> int:  # fmt: skip
    """Seat `wanted` seats in a rack whose `room` is counted; they are written to `out`."""
    saved = [nodes[0] for _ in range(STRIDE)]
    while wanted > 0:
        i = tightest(room, members, starts[rack], starts[rack + 1], wanted)
        here, at = min(wanted, room[i]), i * STRIDE
        for column in range(STRIDE):
            saved[column] = nodes[at + column]
        for _ in range(here):
            mask = pick(nodes, at, demand, False)
            shift(nodes, at, demand, mask, -1)
            out[2 * done] = i
            out[2 * done + 1] = mask
            done += 1
        for column in range(STRIDE):
            nodes[at + column] = saved[column]
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
) -> bool:  # fmt: skip
    """Seats for a whole gang: in the tightest rack, else in the tightest spine, else anywhere.

    Racks of a spine stand together; `racks` lists them all. Seats go to `out` as node and mask.
    """
    if bounds(nodes, allowed, buckets, starts, members, demand, room, sums) < count:
        return False
    while True:
        rack = tightest(sums, racks, 0, len(racks), count)
        if rack == NONE or sums[rack] < count:
            break
        sums[rack] = count_rack(nodes, allowed, starts, members, rack, demand, room)
        if sums[rack] >= count:
            seat_rack(nodes, starts, members, rack, demand, count, room, out, 0)
            return True
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
        return False
    begin, end = 0, len(racks)
    if best != NONE:
        begin, end = spine_starts[best], spine_starts[best + 1]
    done = 0
    while done < count:
        rack = tightest(sums, racks, begin, end, count - done)
        here = min(sums[rack], count - done)
        done = seat_rack(nodes, starts, members, rack, demand, here, room, out, done)
        sums[rack] = 0
    return True
