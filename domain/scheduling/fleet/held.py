"""The loops that keep which seats a node's jobs have there; plain Python that numba compiles.

Each node has a span of `order`, `SPAN` integers of `spans`: from where on, how many seats, for how
many there is room, from when to when they stand in the order to ask (`leaving.line_up`), and how
often one came or went.
"""

from __future__ import annotations

from domain.scheduling.fleet.layout import (
    COUNTED,
    FIRST,
    FROM,
    JOB,
    MICROS,
    NONE,
    PLACES,
    PRIORITY,
    SEAT,
    SEATS,
    SORT,
    SPAN,
    STARTED,
    UNTIL,
    VERSION,
    WHERE,
    Ints,
)

_SECOND = 1_000_000


def renumber(seats: Ints, moved: Ints, spans: Ints, out: Ints) -> None:
    """Each node has another number: seats name it by that, and its span is there in `out`."""
    for at in range(WHERE, len(seats), SEAT):
        if seats[at] != NONE:
            seats[at] = moved[seats[at]]
    for node in range(len(moved)):
        for n in range(SPAN):
            out[moved[node] * SPAN + n] = spans[node * SPAN + n]


def enter(
    fresh: Ints, done: int, seats: Ints, spans: Ints, order: Ints, used: int
) -> tuple[int, int]:
    """Add these seats, from the one numbered `done` on, to the spans of their nodes, until `order`
    is full: how many are done, and how much of `order` is used."""
    while done < len(fresh):
        at = seats[fresh[done] * SEAT + WHERE] * SPAN
        count = spans[at + COUNTED]
        if count == spans[at + PLACES]:
            more = 2 * count + 4
            if used + more > len(order):
                return done, used
            for n in range(count):
                order[used + n] = order[spans[at + FIRST] + n]
            spans[at + FIRST], spans[at + PLACES] = used, more
            used += more
        order[spans[at + FIRST] + count] = fresh[done]
        spans[at + COUNTED], spans[at + UNTIL] = count + 1, NONE
        spans[at + VERSION] += 1
        done += 1
    return done, used


def withdraw(slot: int, jobs: Ints, seats: Ints, spans: Ints, order: Ints) -> None:
    """Take the seats of this job out of the spans of their nodes."""
    begin = jobs[slot * JOB + FROM]
    for seat in range(begin, begin + jobs[slot * JOB + SEATS]):
        at = seats[seat * SEAT + WHERE] * SPAN
        end = spans[at + FIRST] + spans[at + COUNTED]
        n = spans[at + FIRST]
        while order[n] != seat:
            n += 1
        for behind in range(n + 1, end):
            order[behind - 1] = order[behind]
        spans[at + COUNTED] -= 1
        spans[at + UNTIL] = NONE
        spans[at + VERSION] += 1


def too_new(jobs: Ints, slots: int, since: int, out: Ints) -> None:
    """Mark those in `out` that started after that time, or did not."""
    for slot in range(slots):
        started = jobs[slot * JOB + STARTED]
        if started == NONE or started > since:
            out[slot] = 1


def counted_on(jobs: Ints, slots: int, now: int, until: int, out: Ints) -> None:
    """Mark those in `out` that are expected to leave by then (`ends.expected_end`)."""
    for slot in range(slots):
        at = slot * JOB
        if jobs[at + MICROS] != NONE:
            start = now if jobs[at + STARTED] == NONE else jobs[at + STARTED]
            end = start + jobs[at + MICROS]
            while end <= now:
                end += max(_SECOND, end - start)
            if end <= until:
                out[slot] = 1


def anybody(jobs: Ints, slots: int, priority: int, over: Ints, out: Ints) -> bool:
    """Whether a job of this priority may ask somebody, as `leaving.asks` has it."""
    for slot in range(slots):
        its, sort = jobs[slot * JOB + PRIORITY], jobs[slot * JOB + SORT]
        may = its < priority or (len(over) > 0 and its == priority and over[sort])
        if may and not out[slot]:
            return True
    return False
