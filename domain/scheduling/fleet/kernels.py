"""The loops that score, choose and take: plain Python over flat integers, compiled by numba too.

All that they call is in this one file because numba's cache looks at no other for changes.
Lists and int64 arrays serve alike.
"""

from __future__ import annotations

import math

from domain.scheduling.fleet.layout import (
    COUNT,
    CPU,
    CPU_CAPACITY,
    DEVICES,
    FRAGMENTS,
    FREE,
    GPU,
    LEFT,
    MEMO,
    MEMORY,
    MEMORY_CAPACITY,
    MODEL,
    NETWORK,
    NONE,
    SHIFT,
    STORAGE,
    STRIDE,
    TAKES,
    TYPE,
    UNKNOWN,
    Ints,
)

LEVELS = tuple(round(10**6 * math.log(k / (100 - k))) for k in range(1, 100))
"""From which change on a score is k + 1, in millionths of a GPU: int(100 sigmoid(change in GPUs)),
the score of "Beware of Fragmentation" (ATC'23), without floats. Coarse, the more so the larger the
change is: that many nodes are equal, and the first of them is taken, keeps the others whole."""


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
    """GPU thousandths left on a node that typical demands cannot use, summed over their counts.

    Fast where those that ask the same of GPUs stand together.
    """
    left, cpu, free = nodes[at + LEFT], nodes[at + CPU], nodes[at + FREE]
    model, devices = nodes[at + MODEL], nodes[at + DEVICES]
    total = 0
    if left == 0:
        return total
    need, milli, mask, lost = NONE, NONE, NONE, left
    for t in range(0, len(typical), TYPE):
        if cpu < typical[t]:
            total += typical[t + COUNT] * left
            continue
        if need != typical[t + 2] or milli != typical[t + 3] or mask != typical[t + 4]:
            need, milli, mask, lost = typical[t + 2], typical[t + 3], typical[t + 4], left
            if need > 0 and (mask >> model) & 1:
                fit, small = free, left - 1000 * free
                if milli < 1000:
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
    if nodes[at + STORAGE] < demand[5] or nodes[at + NETWORK] < demand[6]:
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
    return bool(fit >= need)


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
            known = nodes[at + GPU + best]
            if best == NONE or (left != known and (left > known) == loose):
                best = d
        mask |= 1 << best
    return mask


def shift(nodes: Ints, at: int, demand: Ints, mask: int, sign: int) -> None:
    """Take a seat from the node (`sign` -1) or give it back (1)."""
    nodes[at + CPU] += sign * demand[0]
    nodes[at + MEMORY] += sign * demand[1]
    nodes[at + STORAGE] += sign * demand[5]
    nodes[at + NETWORK] += sign * demand[6]
    if mask:
        for d in range(nodes[at + DEVICES]):
            if (mask >> d) & 1:
                nodes[at + GPU + d] += sign * demand[3]
    settle(nodes, at)


def level(change: int, weight: int) -> int:
    """The score, 0 to 99, of fragments that shrink by so much, summed over `weight` demands."""
    low, high = 0, 99
    while low < high:
        middle = (low + high) // 2
        if change * 1000 >= LEVELS[middle] * weight:
            low = middle + 1
        else:
            high = middle
    return low


def gradient(nodes: Ints, at: int, demand: Ints, mask: int, typical: Ints, weight: int) -> int:
    """How much the fragments shrink if the seat is put there; of equals, where it costs no GPU.

    That is, a node with GPUs in use already, or for a seat without GPUs one with none left.
    """
    before = nodes[at + FRAGMENTS]
    if before == UNKNOWN:
        before = fragments(nodes, at, typical)
    shift(nodes, at, demand, mask, -1)
    after = fragments(nodes, at, typical)
    shift(nodes, at, demand, mask, 1)
    nodes[at + FRAGMENTS] = before
    used = nodes[at + FREE] < nodes[at + DEVICES]
    spare = used if demand[2] > 0 else nodes[at + LEFT] == 0
    return 2 * level(before - after, weight) + (1 if spare else 0)


def rate(
    nodes: Ints, at: int, demand: Ints, typical: Ints, weight: int, policy: int
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
        return gradient(nodes, at, demand, mask, typical, weight), mask
    best, found = NONE, 0
    for d in range(nodes[at + DEVICES]):
        left = nodes[at + GPU + d]
        same = left < demand[3]
        for e in range(d):
            same = same or nodes[at + GPU + e] == left
        if not same:
            score = gradient(nodes, at, demand, 1 << d, typical, weight)
            if score > best:
                best, found = score, 1 << d
    return best, found


def alike(nodes: Ints, at: int, other: int) -> bool:
    """Whether two nodes have the same left in all that a score reads."""
    for column in (CPU, MEMORY, TAKES, MODEL, DEVICES, STORAGE, NETWORK):
        if nodes[at + column] != nodes[other + column]:
            return False
    for d in range(GPU, GPU + nodes[at + DEVICES]):  # noqa: SIM110 - numba compiles no generator
        if nodes[at + d] != nodes[other + d]:
            return False
    return True


def fill(
    nodes: Ints, allowed: Ints, tree: Ints, memo: Ints, demand: Ints, typical: Ints,
    weight: int, policy: int,
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
            tree[half + i] = rate(nodes, at, demand, typical, weight, policy)[0]
            memo[slot] = i
    for k in range(half - 1, 0, -1):
        tree[k] = max(tree[2 * k], tree[2 * k + 1])


def choose(
    nodes: Ints, allowed: Ints, tree: Ints, log: Ints, stamps: Ints, memo: Ints, head: int,
    cursor: int, demand: Ints, typical: Ints, weight: int, policy: int,
) -> tuple[int, int]:  # fmt: skip
    """The first of the best nodes and its devices, or NONE; the tree is repaired first.

    `log` is a ring of the nodes that changed, `head` its end, `cursor` what the tree has seen,
    `stamps` the last place of each node in it.
    """
    half, ring = len(tree) // 2, len(log)
    if cursor < 0 or head - cursor > ring:
        fill(nodes, allowed, tree, memo, demand, typical, weight, policy)
    else:
        for place in range(cursor, head):
            i = log[place & (ring - 1)]
            if stamps[i] != place:
                continue  # it changed again later
            score = NONE
            if allowed[i]:
                score = rate(nodes, i * STRIDE, demand, typical, weight, policy)[0]
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
    return found, rate(nodes, found * STRIDE, demand, typical, weight, policy)[1]


def scan(
    nodes: Ints, allowed: Ints, demand: Ints, typical: Ints, weight: int, policy: int
) -> tuple[int, int]:
    """What `choose` answers, by scoring every node anew."""
    best, found, devices = NONE, NONE, 0
    for i in range(len(allowed)):
        if allowed[i]:
            score, mask = rate(nodes, i * STRIDE, demand, typical, weight, policy)
            if score > best:
                best, found, devices = score, i, mask
    return found, devices


def seat_gang(
    nodes: Ints, members: Ints, size: int, demand: Ints, count: int, typical: Ints,
    weight: int, policy: int, scores: Ints, masks: Ints, out: Ints,
) -> int:  # fmt: skip
    """Seats one after the other on the first `size` members, each on the best node for it then.

    Writes a node and the devices of each seat to `out` and returns how many there are, at most
    `count`; `nodes` are left as they were. Of equal scores the first member is taken.
    """
    for m in range(size):
        scores[m], masks[m] = rate(nodes, members[m] * STRIDE, demand, typical, weight, policy)
    done = 0
    while done < count:
        best = NONE
        for m in range(size):
            if scores[m] != NONE and (best == NONE or scores[m] > scores[best]):
                best = m
        if best == NONE:
            break
        at = members[best] * STRIDE
        out[2 * done] = members[best]
        out[2 * done + 1] = masks[best]
        shift(nodes, at, demand, masks[best], -1)
        scores[best], masks[best] = rate(nodes, at, demand, typical, weight, policy)
        done += 1
    for seat in range(done - 1, -1, -1):
        shift(nodes, out[2 * seat] * STRIDE, demand, out[2 * seat + 1], 1)
    return done


def note(log: Ints, stamps: Ints, head: int, i: int) -> None:
    """Write into the ring that node `i` changed."""
    log[head & (len(log) - 1)] = i
    stamps[i] = head


def put(
    nodes: Ints, log: Ints, stamps: Ints, head: int, i: int, left: Ints
) -> None:  # fmt: skip
    """What node `i` has left is now this: CPU, memory, storage, network, takes, each device."""
    at = i * STRIDE
    nodes[at + CPU], nodes[at + MEMORY] = left[0], left[1]
    nodes[at + STORAGE], nodes[at + NETWORK], nodes[at + TAKES] = left[2], left[3], left[4]
    for d in range(nodes[at + DEVICES]):
        nodes[at + GPU + d] = left[5 + d]
    settle(nodes, at)
    note(log, stamps, head, i)


def take(
    nodes: Ints, log: Ints, stamps: Ints, head: int, i: int, demand: Ints, mask: int, sign: int,
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
    shift(nodes, at, demand, mask, sign)
    note(log, stamps, head, i)
    return True
