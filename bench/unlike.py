"""Cycles over a queue in which no two jobs ask for the same: whole, and within a time budget."""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.big_cell import GIB, BigCell, shapes
from bench.report import Row
from domain.job.spec import JobSpec
from domain.scheduling.bound import Cursor
from domain.scheduling.made import Plan
from domain.scheduling.plan import Cycle
from domain.values.ids import ProjectId
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
    both, and who starts is compared.
    """
    whole, parts = _cell(options), _cell(options)
    pace, budget = Measured(time.process_time), options.budget_ms
    draws = [random.Random(options.seed) for _ in range(2)]
    rounds: list[tuple[float, list[_Timed]]] = []
    for _ in range(WARM + options.rounds):
        for cell, draw in zip((whole, parts), draws, strict=True):
            cell.end(draw, LEAVE)
            gc.collect()
            gc.freeze()
        one, some = _timed(whole, None, budget), [*_round(parts, pace, budget)]
        started = {each.job for each in one.made.placements}
        in_parts = {each.job for each in (p for part in some for p in part.made.placements)}
        print(
            f"{len(started)} started at once, {len(in_parts)} in {len(some)} cycles, "
            f"{len(started & in_parts)} of them the same",
            file=sys.stderr,
        )
        rounds.append((one.took, some))
    return _rows(rounds[WARM:], len(whole.snapshot.lines), budget / 1000)


def _rows(rounds: list[tuple[float, list[_Timed]]], queued: int, budget: float) -> list[Row]:
    whole = median(took for took, _ in rounds)
    cycles = [each for _, some in rounds for each in some]
    took = [each.took for each in cycles]
    in_all = median(sum(each.took for each in some) for _, some in rounds)
    prepared = median(each.prepared for each in cycles)
    return [
        Row("cycle.unlike.whole", whole, "s", queued, whole / budget, "the budget"),
        Row("cycle.unlike.part", median(took), "s", queued, median(took) / budget, "the budget"),
        Row("cycle.unlike.longest", max(took), "s", queued, max(took) / budget, "the budget"),
        Row("cycle.unlike.prepared", prepared, "s", queued, prepared / budget, "the budget"),
        Row("cycle.unlike.round", in_all, "s", queued, in_all / whole, "cycle.unlike.whole"),
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


@dataclass(frozen=True)
class _Timed:
    """A cycle, and this process's seconds until it was prepared and in all."""

    prepared: float
    took: float
    made: Plan


def _round(cell: BigCell, pace: Measured, budget_ms: int) -> Iterator[_Timed]:
    cursor: Cursor | None = None
    while True:
        part = _timed(cell, pace, budget_ms, cursor)
        yield part
        cursor = part.made.cursor
        if cursor is None:
            return


def _timed(
    cell: BigCell, pace: Measured | None, budget_ms: int, cursor: Cursor | None = None
) -> _Timed:
    """One cycle as the leader makes it, carried out; without a pace for the whole queue."""
    begin = time.process_time()
    if pace is not None:
        pace.begin()
    cycle = Cycle(cell.snapshot, cell.now, cursor)
    ready = time.process_time()
    made = cycle.run(None if pace is None else pace.bound(budget_ms))
    if pace is not None:
        pace.did(made.units)
    took = time.process_time()
    cell.carry_out(made)
    return _Timed(ready - begin, took - begin, made)
