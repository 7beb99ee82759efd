"""Batch queues of one resource: which of the waiting jobs start now, by order and backfill.

The textbook rules, for one number of processors and times that are whole seconds. `plan` decides
for nodes and devices; here the rules themselves are compared with published results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log10


@dataclass(frozen=True)
class BatchJob:
    """A job of a batch trace: when it came, how many processors it takes, how long it runs and
    how long it is said to run, in seconds."""

    id: int
    submit: int
    processors: int
    run: int
    estimate: int
    user: int = 0


@dataclass(frozen=True)
class Running:
    """A job that runs, and when it is said to end."""

    job: BatchJob
    end: int


class BatchBackfill(StrEnum):
    """How jobs may pass one that does not fit.

    `reference` is that of RLScheduler (Zhang et al., SC'20): the shadow time is taken once, when
    the head does not fit, and only what ends strictly before it may start, first come first.
    """

    NONE = "none"
    REFERENCE = "reference"
    EASY = "easy"
    CONSERVATIVE = "conservative"


BOUND = 10
"""Seconds below which a run counts as so long: the bound of the bounded slowdown."""

Key = Callable[[BatchJob, int], tuple[float, ...]]


def _f1(job: BatchJob, _now: int) -> tuple[float, ...]:
    """log10(r) n + 870 log10(s): the first function of Carastan-Santos and de Camargo, SC'17."""
    early = log10(job.submit) if job.submit > 0 else 0.0
    return (log10(max(1, job.estimate)) * job.processors + 870 * early,)


def _weighted_area(job: BatchJob, _now: int) -> tuple[float, ...]:
    """Area over weight, the least first (Smith's rule, 1956): in the bounded slowdown a second of
    waiting weighs 1/max(run, 10), so the index is processors * run * max(run, 10)."""
    return (job.processors * job.estimate * max(BOUND, job.estimate),)


ORDERS: dict[str, Key] = {
    "fcfs": lambda job, _: (job.submit,),
    "sjf": lambda job, _: (job.estimate,),
    "f1": _f1,
    "saf": lambda job, _: (job.processors * job.estimate,),
    "default": _weighted_area,
}
"""Who is next, by the name of the order; ties go to who came first."""


def head(waiting: Iterable[BatchJob], order: Key, now: int) -> BatchJob:
    """The job the order puts first."""
    return min(waiting, key=lambda job: (order(job, now), job.submit, job.id))


def shadow(running: Iterable[Running], free: int, wanted: int) -> tuple[int, int]:
    """When `wanted` processors are free by the estimates, and how many more are free then."""
    ends = sorted((r.end, r.job.processors) for r in running)
    for number, (end, processors) in enumerate(ends):
        free += processors
        if free >= wanted and (number + 1 == len(ends) or ends[number + 1][0] > end):
            return end, free - wanted
    raise ValueError("the job is larger than the machine")


def starts(
    waiting: Sequence[BatchJob],
    running: Sequence[Running],
    free: int,
    now: int,
    order: Key,
    backfill: BatchBackfill,
) -> list[BatchJob]:
    """The jobs that start now: those the order puts first as long as they fit, then those that
    delay no start held for another (EASY: for the first that does not fit; conservative: for all).
    """
    ranked = sorted(waiting, key=lambda job: (order(job, now), job.submit, job.id))
    chosen: list[BatchJob] = []
    while ranked and ranked[0].processors <= free:
        free -= ranked[0].processors
        chosen.append(ranked.pop(0))
    if not ranked or backfill is BatchBackfill.NONE or not free:
        return chosen
    busy = [*running, *(Running(job, now + job.estimate) for job in chosen)]
    if backfill is BatchBackfill.CONSERVATIVE:
        return chosen + _conservative(ranked, busy, free, now)
    time, extra = shadow(busy, free, ranked[0].processors)
    for job in ranked[1:]:
        in_time = now + job.estimate <= time
        if job.processors <= free and (in_time or job.processors <= extra):
            free -= job.processors
            extra -= 0 if in_time else job.processors
            chosen.append(job)
    return chosen


def _conservative(
    ranked: Sequence[BatchJob], busy: Sequence[Running], free: int, now: int
) -> list[BatchJob]:
    """Each gets the earliest time that delays nobody before it; those whose time is now start."""
    times = sorted({now, *(r.end for r in busy)})
    steps = [[at, free + sum(r.job.processors for r in busy if r.end <= at)] for at in times]
    chosen = []
    for job in ranked:
        start = _earliest(steps, job)
        if start == now:
            chosen.append(job)
        _reserve(steps, start, start + max(1, job.estimate), job.processors)
    return chosen


def _earliest(steps: list[list[int]], job: BatchJob) -> int:
    """The first step from which on so many processors are free for so long."""
    start = None
    for at, free in steps:
        if start is not None and at >= start + job.estimate:
            return start
        if free < job.processors:
            start = None
        elif start is None:
            start = at
    if start is None:
        raise ValueError("the job is larger than the machine")
    return start


def _reserve(steps: list[list[int]], start: int, end: int, processors: int) -> None:
    for moment in (start, end):
        number = next((n for n, (at, _) in enumerate(steps) if at >= moment), len(steps))
        if number == len(steps) or steps[number][0] != moment:
            steps.insert(number, [moment, steps[number - 1][1]])
    for step in steps:
        if start <= step[0] < end:
            step[1] -= processors
