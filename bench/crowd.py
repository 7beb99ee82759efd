"""Cycles of a fleet crowded with small allocations: at rest, busy, queued for, and making room."""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from bench.big_cell import GIB, BigCell, shapes
from bench.report import Row
from domain.job.spec import JobSpec
from domain.scheduling.made import Plan
from domain.values.ids import ProjectId
from domain.values.resources import Resources
from infra.collector import unhindered

ROUNDS = 9
MOVES = 50
"""Jobs that end, and as many that arrive, before each cycle that is not at rest."""
QUEUED = 10_000
ASKING = 1000
"""Jobs that make room, each of its own kind."""


def crowded(options: argparse.Namespace) -> list[Row]:
    """Milliseconds of a cycle, by this process's time: median and longest of some rounds.

    `idle`: nothing is new; `moves`: some end and as many arrive; `queued`: likewise with thousands
    of other jobs waiting; `asking`: likewise, and one job makes room in each cycle; `burst`: jobs
    of many kinds make room in one cycle; `leaving`: as `queued` while those who were asked to leave
    do so, some before each cycle.
    """
    draw, cell = random.Random(options.seed), BigCell(options.nodes)
    began = time.perf_counter()
    with unhindered():
        live = cell.fill_by_hand(options.live, options.estimates)
    filled = live / (time.perf_counter() - began)
    print(f"{live} allocations", file=sys.stderr)
    rows = [Row("cycle.crowd.filled", filled, "starts/s", live, 1, "cycle.crowd.filled")]
    cell.cycle()
    small = next(iter(cell.snapshot.jobs.values())).spec

    def moves() -> None:
        cell.end(draw, MOVES)
        cell.submit([small] * MOVES)

    _timed(cell, moves)  # loops are compiled, or read, when first used
    rows += _rounds("idle", cell, lambda: None)
    rows += _rounds("moves", cell, moves)
    kinds = [replace(spec, priority=0) for spec in shapes(draw, options.shapes, estimates=False)]
    cell.submit(draw.choices(kinds, k=options.queued or QUEUED))
    while (made := cell.cycle()).waits or made.placements:
        pass
    rows += _rounds("queued", cell, moves)

    def ask() -> None:
        cell.submit(_unlike(draw, small, 1))
        moves()

    _timed(cell, ask)  # likewise
    rows += _rounds("asking", cell, ask)
    cell.submit(_unlike(draw, small, ASKING))
    took, made = _timed(cell, lambda: None)
    leaving = len(cell.snapshot.leaving)
    print(f"{len(made.preemptions)} asked to leave, {leaving} in all", file=sys.stderr)
    if not made.preemptions:
        raise SystemExit("nobody was asked to leave: nothing was measured")
    rows.append(Row("cycle.crowd.burst", took, "ms", ASKING, 1, "cycle.crowd.burst"))

    def leave() -> None:
        cell.leave(draw, MOVES)
        moves()

    return rows + _rounds("leaving", cell, leave)


def _rounds(name: str, cell: BigCell, before: Callable[[], None]) -> list[Row]:
    took = [_timed(cell, before)[0] for _ in range(ROUNDS)]
    size, first = len(cell.snapshot.lines) + cell.running, f"cycle.crowd.{name}"
    return [
        Row(first, median(took), "ms", size, 1, first),
        Row(f"{first}.longest", max(took), "ms", size, max(took) / median(took), first),
    ]


def _timed(cell: BigCell, before: Callable[[], None]) -> tuple[float, Plan]:
    """One cycle, carried out."""
    before()
    gc.collect()
    gc.freeze()
    begin = time.process_time()
    made = cell.plan()
    took = (time.process_time() - begin) * 1000
    cell.carry_out(made)
    return took, made


def _unlike(draw: random.Random, small: JobSpec, count: int) -> list[JobSpec]:
    """Jobs of higher priority, no two alike, that each need the room of two to four small ones."""
    each = small.resources.cpu_milli
    return [
        JobSpec(
            f"asks-{number}",
            ProjectId(f"project-{number % 8}"),
            ("true",),
            resources=Resources(2 * each + draw.randrange(2 * each), GIB + number),
            priority=100 + 100 * (number % 3),
        )
        for number in range(count)
    ]
