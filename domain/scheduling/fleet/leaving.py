"""The loops that find who makes room; plain Python that numba compiles, as `kernels`.

Who may be asked has a slot: `jobs` and `seats` say what is in it, `spans` and `order` which seats
are on a node (`layout`, `held`). `out` marks the slots of those that are not asked. All that they
call is in this one file.
"""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    BYTES,
    COUNTED,
    CPU,
    CPUS,
    DEVICES,
    DISK,
    EACH,
    FIRST,
    FROM,
    GPU,
    HEAD,
    HEAD_ID,
    HEAD_SINCE,
    HEAD_WEIGHT,
    ID,
    JOB,
    LINED,
    MEMORY,
    MODEL,
    NET,
    NETWORK,
    NEVER,
    NONE,
    ON,
    OWNED,
    OWNS,
    PRIORITY,
    SEAT,
    SEATS,
    SINCE,
    SORT,
    SPAN,
    STORAGE,
    STRIDE,
    TAKES,
    UNTIL,
    VERSION,
    WEIGHT,
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


def lost(since: int, weight: int, now: int) -> int:
    """The work that a job would lose, as `preempt.work_lost`."""
    ran = now - since
    return int(ran * (weight // WHOLE) + ran * (weight % WHOLE) // WHOLE) if ran > 0 else 0


def before(jobs: Ints, one: int, other: int, now: int) -> bool:
    """Whether one is asked before the other: the lower priority, the less work lost, the id."""
    mine, its = jobs[one * JOB + PRIORITY], jobs[other * JOB + PRIORITY]
    if mine == its:
        mine = lost(jobs[one * JOB + SINCE], jobs[one * JOB + WEIGHT], now)
        its = lost(jobs[other * JOB + SINCE], jobs[other * JOB + WEIGHT], now)
    if mine != its:
        return bool(mine < its)
    for key in range(ID, JOB):
        mine, its = jobs[one * JOB + key], jobs[other * JOB + key]
        if mine != its:
            return bool(mine < its)
    return False


def holds_until(jobs: Ints, one: int, other: int, now: int) -> int:
    """Until when one is surely asked before the other, which it is now."""
    mine, its = one * JOB, other * JOB
    if jobs[mine + PRIORITY] < jobs[its + PRIORITY]:
        return NEVER
    since, behind = jobs[mine + SINCE], jobs[its + SINCE]
    if (now < since and since != NEVER) or now < behind:
        return now if behind != NEVER or since != NEVER else NEVER
    weight = 0 if since == NEVER else jobs[mine + WEIGHT]
    faster = weight - jobs[its + WEIGHT]
    if faster == 0:
        return NEVER  # each microsecond is at least one of work
    beyond = lost(behind, jobs[its + WEIGHT], now) - lost(since, weight, now)
    beyond -= 2  # what is below one is cut off
    if beyond < 0:
        return now
    return int(now + beyond // (faster // WHOLE + 1)) if faster > 0 else NEVER


def line_up(
    node: int, spans: Ints, order: Ints, seats: Ints, jobs: Ints, now: int
) -> None:  # fmt: skip
    """Bring the seats on a node in the order to ask those who have them, unless they are."""
    at = node * SPAN
    if spans[at + LINED] <= now <= spans[at + UNTIL]:
        return
    begin, end, until = spans[at + FIRST], spans[at + FIRST] + spans[at + COUNTED], NEVER
    for n in range(begin + 1, end):
        seat, to = order[n], n
        who = seats[seat * SEAT + WHO]
        while to > begin and before(jobs, who, seats[order[to - 1] * SEAT + WHO], now):
            order[to] = order[to - 1]
            to -= 1
        order[to] = seat
    for n in range(begin + 1, end):
        one, other = seats[order[n - 1] * SEAT + WHO], seats[order[n] * SEAT + WHO]
        if one != other:
            until = min(until, holds_until(jobs, one, other, now))
    spans[at + LINED], spans[at + UNTIL] = now, until
    if begin < end:
        who = seats[order[begin] * SEAT + WHO] * JOB
        spans[at + HEAD], spans[at + HEAD_SINCE] = jobs[who + PRIORITY], jobs[who + SINCE]
        spans[at + HEAD_WEIGHT] = jobs[who + WEIGHT]
        for key in range(JOB - ID):
            spans[at + HEAD_ID + key] = jobs[who + ID + key]


def behind(
    span: int, spans: Ints, jobs: Ints, best: int, rank: int, least: int, now: int
) -> bool:  # fmt: skip
    """Whether all on a node are asked after the best, of this priority, that loses the least."""
    if spans[span + HEAD] != rank:
        return bool(spans[span + HEAD] > rank)
    loses = lost(spans[span + HEAD_SINCE], spans[span + HEAD_WEIGHT], now)
    if loses != least:
        return bool(loses > least)
    for key in range(JOB - ID):
        mine, its = spans[span + HEAD_ID + key], jobs[best * JOB + ID + key]
        if mine != its:
            return bool(mine > its)
    return False


def asks(jobs: Ints, who: int, priority: int, over: Ints, out: Ints) -> bool:
    """Whether a job of this priority may ask: who is of a lower one, or of the same and of a sort
    that gives way all the same (`over`), and is not `out`."""
    if out[who] or jobs[who * JOB + PRIORITY] > priority:
        return False
    if jobs[who * JOB + PRIORITY] < priority:
        return True
    return bool(len(over) > 0 and over[jobs[who * JOB + SORT]])


def could(
    base: Ints, rows: Ints, allowed: Ints, demand: Ints, seats: Ints, jobs: Ints, spans: Ints,
    order: Ints, below: int, more: Ints, seen: Ints, replicas: int, most: Ints, totals: Ints,
) -> None:  # fmt: skip
    """How many seats each node takes, at most, once all below a priority have left: into `most`.

    `more` is what those give back on each node, kept as `seen` at a version of its span.
    """
    for node in range(len(allowed)):
        at, span, most[node] = node * STRIDE, node * SPAN, 0
        if allowed[node] and qualifies(base, at, demand):
            if seen[node] != spans[span + VERSION]:
                seen[node] = spans[span + VERSION]
                for cell in range(at, at + STRIDE):
                    more[cell] = 0
                begin = spans[span + FIRST]
                for each in range(begin, begin + spans[span + COUNTED]):
                    if jobs[seats[order[each] * SEAT + WHO] * JOB + PRIORITY] < below:
                        give(more, seats, order[each], 1)
            used = GPU + (base[at + DEVICES] if demand[2] > 0 else 0)
            for cell in range(at, at + used):
                rows[cell] = base[cell] + more[cell]
            most[node] = takes(rows, at, demand, replicas)
            totals[rows[at + MODEL]] += most[node]


def first(
    base: Ints, rows: Ints, allowed: Ints, demand: Ints, seats: Ints, jobs: Ints, spans: Ints,
    order: Ints, priority: int, over: Ints, out: Ints, names: Ints, now: int,
) -> tuple[int, int]:  # fmt: skip
    """After whose leaving one seat fits on an allowed node that will do, had all before left too
    that may be asked: the first such, and the node, the first by name of equals; else NONE."""
    best, where, rank, least = NONE, NONE, 0, 0
    for node in range(len(allowed)):
        at, span = node * STRIDE, node * SPAN
        if spans[span + COUNTED] == 0 or not allowed[node]:
            continue
        line_up(node, spans, order, seats, jobs, now)
        if best != NONE and behind(span, spans, jobs, best, rank, least, now):
            continue
        each, loaded = spans[span + FIRST], False
        end = each + spans[span + COUNTED]
        while each < end:
            who = seats[order[each] * SEAT + WHO]
            if jobs[who * JOB + PRIORITY] >= priority + (len(over) > 0):
                break
            if best != NONE and before(jobs, best, who, now):
                break
            if not asks(jobs, who, priority, over, out):
                each += 1
                continue
            if not loaded:
                load(base, rows, at)
                loaded = True
            while each < end and seats[order[each] * SEAT + WHO] == who:
                give(rows, seats, order[each], 1)
                each += 1
            if takes(rows, at, demand, 1) > 0:
                if best == NONE or who != best or names[node] < names[where]:
                    best, where, rank = who, node, jobs[who * JOB + PRIORITY]
                    least = lost(jobs[who * JOB + SINCE], jobs[who * JOB + WEIGHT], now)
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


def head(
    node: int, each: int, spans: Ints, order: Ints, seats: Ints, jobs: Ints, priority: int,
    over: Ints, out: Ints,
) -> int:  # fmt: skip
    """The place in `order`, from `each` on, of the node's next seat whose job may be asked."""
    end = spans[node * SPAN + FIRST] + spans[node * SPAN + COUNTED]
    while each < end and not asks(jobs, seats[order[each] * SEAT + WHO], priority, over, out):
        each += 1
    return int(each) if each < end else NONE


def sift(heap: Ints, size: int, place: int, heads: Ints, jobs: Ints, now: int) -> None:
    """Nodes stand before those below them whose heads are asked later: let the one at this place
    sink."""
    node = heap[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and before(jobs, heads[heap[child + 1]], heads[heap[child]], now):
            child += 1
        if not before(jobs, heads[heap[child]], heads[node], now):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = node


def gather(
    rows: Ints, able: Ints, demand: Ints, seats: Ints, jobs: Ints, spans: Ints, order: Ints,
    priority: int, over: Ints, out: Ints, now: int, replicas: int, least: int, counts: Ints,
    totals: Ints, heap: Ints, heads: Ints, nexts: Ints, picked: Ints,
) -> int:  # fmt: skip
    """Who leaves, in the order to ask, until there are `least` seats, into `picked`: how many, NONE
    if all do not help. Only who has something on nodes that will do is asked."""
    size = nodes = 0
    if enough(demand, totals, least):
        return size
    for node in range(len(able)):
        if able[node]:
            line_up(node, spans, order, seats, jobs, now)
            each = head(
                node, spans[node * SPAN + FIRST], spans, order, seats, jobs, priority, over, out
            )
            if each != NONE:
                heads[node], nexts[node] = seats[order[each] * SEAT + WHO], each + 1
                heap[nodes] = node
                nodes += 1
    for place in range(nodes // 2 - 1, -1, -1):
        sift(heap, nodes, place, heads, jobs, now)
    while nodes > 0:
        node = heap[0]
        who = heads[node]
        each = head(node, nexts[node], spans, order, seats, jobs, priority, over, out)
        if each == NONE:
            nodes -= 1
            heap[0] = heap[nodes]
        else:
            heads[node], nexts[node] = seats[order[each] * SEAT + WHO], each + 1
        sift(heap, nodes, 0, heads, jobs, now)
        if size > 0 and picked[size - 1] == who:
            continue  # it has seats on several nodes
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
