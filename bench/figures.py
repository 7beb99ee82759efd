"""Figures of a simulated history: waits, slowdown, completion times, use, fairness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from bench.report import Row
from bench.simulator import History

Figures = dict[str, tuple[float, str]]
"""Values with their units, by name."""


def percentile(values: Sequence[float], share: int) -> float:
    """The nearest-rank percentile: the smallest value that `share` % do not pass."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def slowdown(wait: float, run: float) -> float:
    """Bounded slowdown of seconds: max(1, (wait + run) / max(run, 10))."""
    return max(1.0, (wait + run) / max(run, 10))


def utilisation(history: History, capacity: int) -> float:
    """Amount times time used, of what there was from the first submission to the last end.

    What there was is `capacity` all the time, unless the history says otherwise.
    """
    begin, end = min(j.submitted for j in history.jobs), max(end for _, end, _ in history.runs)
    used = sum((stop - start) * amount for start, stop, amount in history.runs)
    there = capacity * (end - begin)
    if history.offered:
        there = sum(more * (end - min(max(at, begin), end)) for at, more in history.offered)
    return used / there if there else 0.0


def jain(shares: Iterable[float]) -> float:
    """Jain's index: (sum x)^2 / (n sum x^2), 1 when all are equal."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def figures(history: History, capacity: int) -> Figures:
    """Every figure with its unit, by name; fairness is over the users' mean bounded slowdown.

    `fragments`, where nodes are told apart, is the share of idle capacity, over time, that what
    arrives as a rule could not use.
    """
    done = [job for job in history.jobs if job.name in history.ends]
    if not done:
        raise SystemExit("no job of the trace could run")
    runs = [job.run / history.second for job in done]
    waits = [wait / history.second for wait in history.waits]
    slow = [slowdown(wait, run) for wait, run in zip(waits, runs, strict=True)]
    jct = [wait + run for wait, run in zip(waits, runs, strict=True)]
    by_user: defaultdict[str, list[float]] = defaultdict(list)
    for job, value in zip(done, slow, strict=True):
        by_user[job.user].append(value)
    found: Figures = {"slowdown": (fmean(slow), "x")}
    found["utilisation"] = (utilisation(history, capacity), "of 1")
    if history.idle is not None and history.idle.free:
        found["fragments"] = (history.idle.fragments / history.idle.free, "of idle")
    unfinished = len(history.jobs) - len(done) - len(history.cancelled)
    return {
        **found,
        "jct.mean": (fmean(jct), "s"),
        "jct.median": (median(jct), "s"),
        "wait.mean": (fmean(waits), "s"),
        "wait.p50": (percentile(waits, 50), "s"),
        "wait.p99": (percentile(waits, 99), "s"),
        "wait.max": (max(waits), "s"),
        "fairness": (jain(fmean(values) for values in by_user.values()), "Jain"),
        "preemptions": (history.preemptions, "count"),
        "lost": (history.lost / history.second, "size s"),
        "cancelled": (len(history.cancelled), "jobs"),
        "unfinished": (unfinished, "jobs"),
    }


def compare(found: dict[str, Figures], base: str, size: int) -> list[Row]:
    """Rows of several runs, each figure against that of `base`, or itself where that has none."""
    return [
        Row(f"{name}.{what}", value, unit, size, _ratio(value, against), base)
        for name, figures_of in found.items()
        for what, (value, unit) in figures_of.items()
        for against, _ in [found[base].get(what, (value, unit))]
    ]


def _ratio(value: float, against: float) -> float:
    if against:
        return value / against
    return 1.0 if value == against else float("inf")
