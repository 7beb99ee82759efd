"""Seconds of a planning cycle: long queues, many allocations, and room made by preemption."""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from statistics import median

from bench.big_cell import BigCell, shapes
from bench.options import positive
from bench.report import Row
from domain.scheduling.plan import Plan

ROUNDS = 7
LEAVE = 50
"""Jobs that end before each measured cycle."""
FEW = 100
"""The short queue is so many times shorter."""


def options(parser: argparse.ArgumentParser) -> None:
    """How large the fleet and the queue are."""
    parser.add_argument("--nodes", type=positive, default=10_000, help="nodes of 8 GPUs (10000)")
    parser.add_argument("--queued", type=positive, default=1_000_000, help="jobs (1000000)")
    parser.add_argument("--shapes", type=positive, default=48, help="kinds of jobs (48)")
    parser.add_argument(
        "--live", type=positive, help="allocations to run (as many GPU jobs as fit)"
    )
    parser.add_argument("--estimates", action="store_true", help="jobs say how long they run")
    parser.add_argument("--reclaim", type=positive, default=1000, help="nodes to reclaim (1000)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> list[Row]:
    """Medians of wall clock and of this process's time, and the memory with the long queue."""
    draw = random.Random(options.seed)
    cell = BigCell(options.nodes)
    kinds = shapes(draw, options.shapes, estimates=options.estimates)
    began = time.perf_counter()
    live = cell.fill(kinds, draw, options.live)
    filled = time.perf_counter() - began
    print(f"{live} allocations on {options.nodes} nodes in {filled:.1f} s", file=sys.stderr)
    rows = [Row("cycle.filled", live / filled, "starts/s", live, 1, "cycle.filled")]
    short = max(1, options.queued // FEW)
    figures = {}
    for name, queued in (("short", short), ("long", options.queued)):
        cell.queue(kinds, draw, queued)
        print(f"{len(cell.snapshot.lines)} queued", file=sys.stderr)
        figures[name] = _steady(cell, draw)
        base = figures["short"]
        for key, value in figures[name].items():
            row = Row(f"cycle.{name}.{key}", value, "ms", queued, value / base[key], "cycle.short")
            rows.append(row)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(Row("cycle.memory", memory, "MiB", options.queued, 1, "cycle.memory"))
    return rows + _reclaim(min(options.reclaim, options.nodes))


def _steady(cell: BigCell, draw: random.Random) -> dict[str, float]:
    """Milliseconds of cycles after some jobs ended, once everybody knows why it waits."""
    while (made := cell.cycle()).waits or made.placements:
        pass
    wall, busy, started = [], [], 0
    for _ in range(ROUNDS):
        cell.end(draw, LEAVE)
        gc.collect()
        gc.freeze()
        begin, cpu = time.perf_counter(), time.process_time()
        made = cell.plan()
        wall.append(time.perf_counter() - begin)
        busy.append(time.process_time() - cpu)
        cell.carry_out(made)
        started += len(made.placements)
    if not started:
        raise SystemExit("nothing was started: nothing was measured")
    print(f"{started / ROUNDS:.0f} starts a cycle", file=sys.stderr)
    return {"wall": median(wall) * 1000, "cpu": median(busy) * 1000}


def _reclaim(nodes: int) -> list[Row]:
    """Seconds to decide who leaves for jobs that want every node of a full fleet."""
    rows = []
    for name, replicas in (("gang", nodes), ("singles", 1)):
        cell = BigCell(nodes)
        cell.fill_with_small(priority=0)
        cell.ask_for_nodes(nodes // replicas, replicas, priority=1000)
        begin = time.perf_counter()
        made: Plan = cell.plan()
        took = time.perf_counter() - begin
        if len(made.preemptions) != cell.running:
            raise SystemExit(f"{len(made.preemptions)} of {cell.running} were asked to leave")
        rows.append(Row(f"cycle.reclaim.{name}", took, "s", nodes, 1, f"cycle.reclaim.{name}"))
    return rows
