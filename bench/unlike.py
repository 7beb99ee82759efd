"""Cycles over a queue in which no two jobs ask for the same: whole, and within a time budget."""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Iterator
from statistics import median

from bench.big_cell import GIB, BigCell, shapes
from bench.report import Row
from domain.job.spec import JobSpec
from domain.scheduling.bound import Bound, Cursor
from domain.scheduling.plan import Cycle, Plan
from domain.values.ids import JobId, ProjectId
from domain.values.resources import Resources
from infra.collector import unhindered
from processors.pace import Measured

QUEUED = 20_000
LEAVE = 50
"""Jobs that end before each round."""
WARM = 3
"""Rounds for the pace to be found, before those that are measured."""


def unlike(options: argparse.Namespace) -> list[Row]:
    """Seconds of a cycle for the whole queue, and of those of a round within the budget.

    Two cells alike and full, with the same jobs waiting that are all told why; the same jobs end in
    both. A round must start whom the one cycle starts.
    """
    whole, parts = _cell(options), _cell(options)
    count = len(whole.snapshot.lines)
    pace = Measured(time.process_time)
    first, second = random.Random(options.seed), random.Random(options.seed)
    alone: list[float] = []
    cycles: list[float] = []
    lengths: list[int] = []
    prepared: list[float] = []
    started = 0
    for number in range(WARM + options.rounds):
        whole.end(first, LEAVE)
        parts.end(second, LEAVE)
        took, made = _timed(whole, None, None, None, options.budget_ms)
        ones = [*_round(parts, pace, options.budget_ms)]
        at_once = {each.job for each in made.placements}
        in_parts = {each.job for _, _, one in ones for each in one.placements}
        if at_once != in_parts:
            differ = len(at_once ^ in_parts)
            print(f"round {number}: {differ} of {len(at_once)} differ", file=sys.stderr)
        if number >= WARM:
            alone.append(took[1])
            cycles += [seconds for _, seconds, _ in ones]
            prepared += [ready for ready, _, _ in ones]
            lengths.append(len(ones))
            started += len(in_parts)
    budget = options.budget_ms / 1000
    return [
        Row("unlike.whole", median(alone), "s", count, 1, "unlike.whole"),
        Row("unlike.cycle", median(cycles), "s", count, median(cycles) / budget, "budget"),
        Row("unlike.cycle.longest", max(cycles), "s", count, max(cycles) / budget, "budget"),
        Row("unlike.cycle.prepared", median(prepared), "s", count, 1, "unlike.cycle.prepared"),
        Row("unlike.round.cycles", median(lengths), "cycles", count, 1, "unlike.round.cycles"),
        Row(
            "unlike.round",
            sum(cycles) / len(lengths),
            "s",
            count,
            sum(cycles) / len(lengths) / median(alone),
            "unlike.whole",
        ),
        Row("unlike.started", started / len(lengths), "starts", count, 1, "unlike.started"),
    ]


def _cell(options: argparse.Namespace) -> BigCell:
    draw, cell = random.Random(options.seed), BigCell(options.nodes)
    kinds = shapes(draw, options.shapes, estimates=True)
    with unhindered():
        cell.fill(kinds, draw)
        cell.queue(kinds, draw, 0)
        cell.submit(_unlike(draw, number) for number in range(options.queued or QUEUED))
    while (made := cell.cycle()).waits or made.placements:
        pass
    print(f"{cell.running} allocations, {len(cell.snapshot.lines)} queued", file=sys.stderr)
    return cell


def _unlike(draw: random.Random, number: int) -> JobSpec:
    gpus = draw.choice((1, 2, 4, 8))
    return JobSpec(
        f"unlike-{number}",
        ProjectId(f"project-{number % 8}"),
        ("true",),
        resources=Resources(gpus * 4000, gpus * 8 * GIB + number * 1024, gpus * 1000),
        replicas=draw.choice((1, 1, 1, 2, 4)),
        priority=draw.choice((0, 50, 100)),
        estimate_seconds=draw.choice((600, 3600, 14_400)),
    )


def _round(cell: BigCell, pace: Measured, budget_ms: int) -> Iterator[tuple[float, float, Plan]]:
    cursor = None
    while True:
        (ready, took), made = _timed(cell, cursor, pace, pace, budget_ms)
        yield ready, took, made
        cursor = made.cursor
        if cursor is None:
            return
