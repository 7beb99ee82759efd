"""The loops that keep in which order jobs are asked to leave; plain Python that numba compiles.

A job that may be asked is `JOB` integers of `jobs`, in its slot; `turns` are the slots in the order
to ask: lowest priority first, then least work lost, then by id. `keys` are priority and work lost
of each slot at one moment. All that they call is in this one file.
"""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    FROM,
    ID,
    JOB,
    MICROS,
    NONE,
    PRIORITY,
    SEAT,
    SEATS,
    SINCE,
    SORT,
    STARTED,
    WEIGHT,
    WHERE,
    Ints,
)

NEVER = 2**62
_BLOCK = 16
_SECOND = 1_000_000


def losses(jobs: Ints, slots: int, now: int, keys: Ints) -> bool:
    """Each slot's priority and the work it would lose now; False if that is too much to count."""
    for slot in range(slots):
        at = slot * JOB
        weight, lost, ran = jobs[at + WEIGHT], 0, now - jobs[at + SINCE]
        if ran > 0:
            if ran > NEVER // weight * 1000:
                return False
            lost = ran * (weight // 1000) + ran * (weight % 1000) // 1000
        keys[2 * slot], keys[2 * slot + 1] = jobs[at + PRIORITY], lost
    return True


def before(jobs: Ints, keys: Ints, one: int, other: int) -> bool:
    """Whether one is asked before the other."""
    for key in range(2):
        mine, its = keys[2 * one + key], keys[2 * other + key]
        if mine != its:
            return bool(mine < its)
    for key in range(ID, JOB):
        mine, its = jobs[one * JOB + key], jobs[other * JOB + key]
        if mine != its:
            return bool(mine < its)
    return False


def merge(
    turns: Ints, low: int, middle: int, high: int, spare: Ints, jobs: Ints, keys: Ints
) -> None:
    """Two parts in order become one; nothing is moved but where they overlap."""
    last, head = turns[middle - 1], turns[middle]
    if before(jobs, keys, last, head):
        return
    first, end = low, middle - 1
    while first < end:  # the first of the left part that comes after the right part's first
        half = (first + end) // 2
        if before(jobs, keys, head, turns[half]):
            end = half
        else:
            first = half + 1
    stop, end = middle + 1, high
    while stop < end:  # the first of the right part that comes after the left part's last
        half = (stop + end) // 2
        if before(jobs, keys, last, turns[half]):
            end = half
        else:
            stop = half + 1
    size = middle - first
    for n in range(size):
        spare[n] = turns[first + n]
    left, right, to = 0, middle, first
    while left < size:
        if right < stop and before(jobs, keys, turns[right], spare[left]):
            turns[to] = turns[right]
            right += 1
        else:
            turns[to] = spare[left]
            left += 1
        to += 1


def sort(turns: Ints, size: int, spare: Ints, jobs: Ints, keys: Ints) -> None:
    """Bring the first `size` in order; little is done where they nearly are."""
    for low in range(0, size, _BLOCK):
        for n in range(low + 1, min(size, low + _BLOCK)):
            slot, to = turns[n], n
            while to > low and before(jobs, keys, slot, turns[to - 1]):
                turns[to] = turns[to - 1]
                to -= 1
            turns[to] = slot
    width = _BLOCK
    while width < size:
        for low in range(0, size - width, 2 * width):
            merge(turns, low, low + width, min(size, low + 2 * width), spare, jobs, keys)
        width *= 2


def without(turns: Ints, size: int, places: Ints) -> int:
    """Leave those out jobse place in the order is NONE; how many stay."""
    kept = 0
    for n in range(size):
        slot = turns[n]
        if places[slot] != NONE:
            turns[kept] = slot
            kept += 1
    return kept


def line_up(turns: Ints, size: int, places: Ints) -> None:
    """Tell each its place in the order."""
    for n in range(size):
        places[turns[n]] = n


def by_node(
    turns: Ints, size: int, jobs: Ints, seats: Ints, starts: Ints, order: Ints
) -> None:  # fmt: skip
    """The seats on each node, in the order in which those who have them are asked: node n's stand
    in `order` from `starts[n]` to `starts[n + 1]`; `starts` has one more behind."""
    for node in range(len(starts)):
        starts[node] = 0
    for n in range(size):
        at = turns[n] * JOB
        for seat in range(jobs[at + FROM], jobs[at + FROM] + jobs[at + SEATS]):
            starts[seats[seat * SEAT + WHERE] + 2] += 1
    for node in range(2, len(starts)):
        starts[node] += starts[node - 1]
    for n in range(size):
        at = turns[n] * JOB
        for seat in range(jobs[at + FROM], jobs[at + FROM] + jobs[at + SEATS]):
            node = seats[seat * SEAT + WHERE] + 1
            order[starts[node]] = seat
            starts[node] += 1


def too_new(turns: Ints, size: int, jobs: Ints, since: int, out: Ints) -> None:
    """Mark those in `out` that started after that time, or did not."""
    for n in range(size):
        started = jobs[turns[n] * JOB + STARTED]
        if started == NONE or started > since:
            out[turns[n]] = 1


def counted_on(turns: Ints, size: int, jobs: Ints, now: int, until: int, out: Ints) -> None:
    """Mark those in `out` that are expected to leave by then (`ends.expected_end`)."""
    for n in range(size):
        at = turns[n] * JOB
        if jobs[at + MICROS] == NONE:
            continue
        start = now if jobs[at + STARTED] == NONE else jobs[at + STARTED]
        end = start + jobs[at + MICROS]
        while end <= now:
            end += max(_SECOND, end - start)
        if end <= until:
            out[turns[n]] = 1


def more_important(
    turns: Ints, size: int, jobs: Ints, priority: int, over: Ints, out: Ints
) -> None:
    """Mark those in `out` that have this priority, or a higher one, and are not of a sort that
    gives way all the same (`over`)."""
    for n in range(size):
        at = turns[n] * JOB
        if jobs[at + PRIORITY] >= priority and not over[jobs[at + SORT]]:
            out[turns[n]] = 1


def anybody(turns: Ints, most: int, out: Ints) -> bool:
    """Whether somebody of the first `most` may be asked."""
    for n in range(most):
        if not out[turns[n]]:
            return True
    return False


def below(turns: Ints, size: int, jobs: Ints, priority: int) -> int:
    """How many have a lower priority."""
    low, high = 0, size
    while low < high:
        half = (low + high) // 2
        if jobs[turns[half] * JOB + PRIORITY] < priority:
            low = half + 1
        else:
            high = half
    return low
