"""Figures of a simulated history: waits, slowdown, completion times, use, fairness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from bench.report import Row
from bench.simulator import History


def percentile(values: Sequence[float], share: int) -> float:
    """The nearest-rank percentile: the smallest value that `share` % do not pass."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def slowdown(wait: int, run: int) -> float:
    """Bounded slowdown: max(1, (wait + run) / max(run, 10))."""
    return max(1.0, (wait + run) / max(run, 10))


def utilisation(history: History, capacity: int) -> float:
    """Size times time used, of what there was from the first submission to the last end."""
    begin, end = min(j.submitted for j in history.jobs), max(end for _, end, _ in history.runs)
    used = sum((stop - start) * size for start, stop, size in history.runs)
    return used / ((end - begin) * capacity)


def jain(shares: Iterable[float]) -> float:
    """Jain's index: (sum x)^2 / (n sum x^2), 1 when all are equal."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def figures(history: History, capacity: int) -> dict[str, tuple[float, str]]:
    """Every figure with its unit, by name; fairness is over the users' mean bounded slowdown."""
    done = [job for job in history.jobs if job.name in history.ends]
    if not done:
        raise SystemExit("no job of the trace could run")
    waits = history.waits
    slow = [slowdown(wait, job.run) for wait, job in zip(waits, done, strict=True)]
    jct = [wait + job.run for wait, job in zip(waits, done, strict=True)]
    by_user: defaultdict[str, list[float]] = defaultdict(list)
    for job, value in zip(done, slow, strict=True):
        by_user[job.user].append(value)
    return {
        "slowdown": (fmean(slow), "x"),
        "utilisation": (utilisation(history, capacity), "of 1"),
        "jct.mean": (fmean(jct), "s"),
        "jct.median": (median(jct), "s"),
        "wait.mean": (fmean(waits), "s"),
        "wait.p50": (percentile(waits, 50), "s"),
        "wait.p99": (percentile(waits, 99), "s"),
        "wait.max": (max(waits), "s"),
        "fairness": (jain(fmean(values) for values in by_user.values()), "Jain"),
        "preemptions": (history.preemptions, "count"),
        "lost": (history.lost, "size s"),
        "unfinished": (len(history.jobs) - len(done), "jobs"),
    }


def compare(found: dict[str, dict[str, tuple[float, str]]], base: str, size: int) -> list[Row]:
    """Rows of several runs, each figure against that of `base`."""
    return [
        Row(f"{name}.{what}", value, unit, size, _ratio(value, found[base][what][0]), base)
        for name, figures_of in found.items()
        for what, (value, unit) in figures_of.items()
    ]


def _ratio(value: float, against: float) -> float:
    if against:
        return value / against
    return 1.0 if value == against else float("inf")
