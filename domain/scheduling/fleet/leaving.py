"""The loops that find who makes room; plain Python that numba compiles, as `kernels`.

Who may be asked has a slot: `jobs` and `seats` say what is in it (`layout`), `turns` are the slots
in the order to ask, `places` the place of each slot there. `out` marks the slots of those that are
not asked. All that they call is in this one file.
"""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    BYTES,
    CPU,
    CPUS,
    DEVICES,
    DISK,
    EACH,
    FROM,
    GPU,
    JOB,
    MEMORY,
    MODEL,
    NET,
    NETWORK,
    NONE,
    ON,
    OWNED,
    OWNS,
    PRIORITY,
    SEAT,
    SEATS,
    STORAGE,
    STRIDE,
    TAKES,
    WHERE,
    WHO,
    WHOLE,
    Ints,
)


def give(rows: Ints, seats: Ints, seat: int, sign: int) -> None:
    """Give a seat back to its node (1), or take it again (-1); devices may pass what they have."""
    at, s = seats[seat * SEAT + WHERE] * STRIDE, seat * SEAT
    rows[at + CPU] += sign * seats[s + CPUS]
    rows[at + MEMORY] += sign * seats[s + BYTES]
    rows[at + STORAGE] += sign * seats[s + DISK]
    rows[at + NETWORK] += sign * seats[s + NET]
    rows[at + OWNED] -= sign * seats[s + OWNS]
    mask, device = seats[s + ON], at + GPU
    while mask > 0:
        if mask & 1:
            rows[device] += sign * seats[s + EACH]
        mask >>= 1
        device += 1


def takes(rows: Ints, at: int, demand: Ints, most: int) -> int:
    """How many seats of the demand the node takes, at most `most`. Less than nothing is nothing."""
    if rows[at + OWNED] > 0:
        return 0
    if demand[0] > 0:
        most = min(most, max(0, rows[at + CPU]) // demand[0])
    if demand[1] > 0:
        most = min(most, max(0, rows[at + MEMORY]) // demand[1])
    if demand[5] > 0:
        most = min(most, max(0, rows[at + STORAGE]) // demand[5])
    if demand[6] > 0:
        most = min(most, max(0, rows[at + NETWORK]) // demand[6])
    if demand[2] > 0 and most > 0:
        shares = 0
        for device in range(at + GPU, at + GPU + rows[at + DEVICES]):
            shares += min(WHOLE, rows[device]) // demand[3]
        most = min(most, shares // demand[2])
    return int(most)


def qualifies(rows: Ints, at: int, demand: Ints) -> bool:
    """Whether the node takes work and has GPUs of a model that will do."""
    if rows[at + TAKES] == 0:
        return False
    return bool(demand[2] == 0 or (demand[4] >> rows[at + MODEL]) & 1)


def load(base: Ints, rows: Ints, at: int) -> None:
    """Copy a node."""
    for cell in range(at, at + STRIDE):
        rows[cell] = base[cell]


def change(
    rows: Ints, able: Ints, demand: Ints, seats: Ints, jobs: Ints, who: int, sign: int,
    replicas: int, counts: Ints, totals: Ints,
) -> None:  # fmt: skip
    """One leaves (1) or stays after all (-1): count the seats on its nodes anew."""
    begin = jobs[who * JOB + FROM]
    for seat in range(begin, begin + jobs[who * JOB + SEATS]):
        node = seats[seat * SEAT + WHERE]
        if able[node]:
            give(rows, seats, seat, sign)
            now = takes(rows, node * STRIDE, demand, replicas)
            totals[rows[node * STRIDE + MODEL]] += now - counts[node]
            counts[node] = now


def enough(demand: Ints, totals: Ints, least: int) -> bool:
    """Whether there are so many seats, on GPUs of one model."""
    found = 0
    for total in totals:
        found = total if demand[2] > 0 and total > found else found
        found += total if demand[2] == 0 else 0
    return bool(found >= least)


def first(
    base: Ints, rows: Ints, allowed: Ints, demand: Ints, seats: Ints, starts: Ints, order: Ints,
    out: Ints, places: Ints, most: int, names: Ints,
) -> tuple[int, int]:  # fmt: skip
    """After whose leaving one seat fits on a node, had all before left too: the place of the first
    such, and its node, the first by name of equals; NONE if there is none among the first `most`.

    The seats of node n are those from `starts[n]` on in `order`, as those are asked who have them.
    """
    best, where = NONE, NONE
    for node in range(len(allowed)):
        at, each, end = node * STRIDE, starts[node], starts[node + 1]
        if each == end or not allowed[node] or not qualifies(base, at, demand):
            continue
        load(base, rows, at)
        while each < end:
            who = seats[order[each] * SEAT + WHO]
            place = places[who]
            if place >= most or (best != NONE and place > best):
                break
            if out[who]:
                each += 1
                continue
            while each < end and seats[order[each] * SEAT + WHO] == who:
                give(rows, seats, order[each], 1)
                each += 1
            if takes(rows, at, demand, 1) > 0:
                if best == NONE or place < best or names[node] < names[where]:
                    best, where = place, node
                break
    return int(best), int(where)


def begin(
    base: Ints, rows: Ints, allowed: Ints, able: Ints, demand: Ints, replicas: int,
    counts: Ints, totals: Ints,
) -> None:  # fmt: skip
    """Count the seats on each node that will do, while all are there; `able` marks those nodes."""
    for node in range(len(allowed)):
        at = node * STRIDE
        able[node] = 1 if allowed[node] and qualifies(base, at, demand) else 0
        if able[node]:
            load(base, rows, at)
            counts[node] = takes(rows, at, demand, replicas)
            totals[rows[at + MODEL]] += counts[node]


def leave(
    rows: Ints, able: Ints, demand: Ints, seats: Ints, jobs: Ints, picked: Ints, replicas: int,
    counts: Ints, totals: Ints,
) -> None:  # fmt: skip
    """All of these leave."""
    for who in picked:
        change(rows, able, demand, seats, jobs, who, 1, replicas, counts, totals)


def gather(
    rows: Ints, able: Ints, demand: Ints, seats: Ints, jobs: Ints, turns: Ints, out: Ints,
    most: int, replicas: int, least: int, counts: Ints, totals: Ints, picked: Ints,
) -> int:  # fmt: skip
    """Those of the first `most` who leave, in order, until there are `least` seats, into `picked`;
    how many, NONE if all do not help. Who has nothing on nodes that will do is passed over."""
    size = 0
    if enough(demand, totals, least):
        return size
    for n in range(most):
        who, helps = turns[n], False
        if not out[who]:
            begin = jobs[who * JOB + FROM]
            for seat in range(begin, begin + jobs[who * JOB + SEATS]):
                if able[seats[seat * SEAT + WHERE]]:
                    helps = True
        if helps:
            picked[size] = who
            size += 1
            change(rows, able, demand, seats, jobs, who, 1, replicas, counts, totals)
            if enough(demand, totals, least):
                return size
    return NONE


def spare(
    rows: Ints, able: Ints, demand: Ints, seats: Ints, jobs: Ints,
    picked: Ints, size: int, replicas: int, least: int, counts: Ints, totals: Ints,
) -> None:  # fmt: skip
    """Let those of the picked stay without whom there are `least` seats as well, the most
    important first: their places in `picked` become NONE."""
    end = size
    while end > 0:
        start, priority = end - 1, jobs[picked[end - 1] * JOB + PRIORITY]
        while start > 0 and jobs[picked[start - 1] * JOB + PRIORITY] == priority:
            start -= 1
        for n in range(start, end):
            who = picked[n]
            change(rows, able, demand, seats, jobs, who, -1, replicas, counts, totals)
            if enough(demand, totals, least):
                picked[n] = NONE
            else:
                change(rows, able, demand, seats, jobs, who, 1, replicas, counts, totals)
        end = start
