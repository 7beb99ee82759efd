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
from bench.crowd import crowded
from bench.options import positive
from bench.report import Row
from bench.unlike import unlike
from domain.scheduling.made import Plan

ROUNDS = 7
LEAVE = 50
"""Jobs that end before each measured cycle."""
QUEUED = 1_000_000
FEW = 100
"""The short queue is so many times shorter."""


def options(parser: argparse.ArgumentParser) -> None:
    """How large the fleet and the queue are."""
    parser.add_argument("--nodes", type=positive, default=10_000, help="nodes of 8 GPUs (10000)")
    parser.add_argument("--queued", type=positive, help="jobs (1000000; with --live 10000)")
    parser.add_argument("--shapes", type=positive, default=48, help="kinds of jobs (48)")
    parser.add_argument(
        "--live", type=positive, help="small allocations: measure cycles of a crowded fleet"
    )
    parser.add_argument("--estimates", action="store_true", help="jobs say how long they run")
    parser.add_argument("--reclaim", type=positive, default=1000, help="nodes to reclaim (1000)")
    parser.add_argument(
        "--unlike", action="store_true", help="no two jobs alike: measure cycles in a time budget"
    )
    parser.add_argument("--budget-ms", type=positive, default=500, help="of a cycle (500)")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, help=f"with --unlike ({ROUNDS})")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> list[Row]:
    """Medians of wall clock and of this process's time, and the memory with the long queue.

    Two cells alike but for the length of their queues are measured in turns: what else the
    machine does meets both. With `live`, what cycles among so many small allocations take; with
    `unlike`, what they take over a queue of jobs that are all different.
    """
    if options.unlike:
        return unlike(options)
    if options.live is not None:
        return crowded(options)
    most = options.queued or QUEUED
    sizes = {"short": max(1, most // FEW), "long": most}
    cells, rows = {}, []
    for name, queued in sizes.items():
        cells[name], filled = _filled(options, queued)
        live = cells[name].running
        rate = f"cycle.{name}.filled"
        rows.append(Row(rate, filled, "starts/s", live, 1, rate))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(Row("cycle.memory", memory, "MiB", sum(sizes.values()), 1, "cycle.memory"))
    draw = random.Random(options.seed)
    rounds = [{name: _cycle(cell, draw) for name, cell in cells.items()} for _ in range(ROUNDS)]
    for place, clock in enumerate(("wall", "cpu")):
        medians = {name: median(each[name][place] for each in rounds) for name in sizes}
        for name, value in medians.items():
            ratio = value / medians["short"]
            row = Row(f"cycle.{name}.{clock}", value, "ms", sizes[name], ratio, "cycle.short")
            rows.append(row)
    started = sum(each[name][2] for each in rounds for name in sizes)
    if not started:
        raise SystemExit("nothing was started: nothing was measured")
    print(f"{started / ROUNDS / len(sizes):.0f} starts a cycle", file=sys.stderr)
    return rows + _reclaim(min(options.reclaim, options.nodes))


def _filled(options: argparse.Namespace, queued: int) -> tuple[BigCell, float]:
    """A full cell with so many waiting who all know why, and how many were started a second."""
    draw, cell = random.Random(options.seed), BigCell(options.nodes)
    kinds = shapes(draw, options.shapes, estimates=options.estimates)
    began = time.perf_counter()
    live = cell.fill(kinds, draw)
    filled = live / (time.perf_counter() - began)
    cell.queue(kinds, draw, queued)
    while (made := cell.cycle()).waits or made.placements:
        pass
    print(f"{live} allocations, {len(cell.snapshot.lines)} queued", file=sys.stderr)
    return cell, filled


def _cycle(cell: BigCell, draw: random.Random) -> tuple[float, float, int]:
    """Milliseconds of a cycle after some jobs ended, by both clocks, and how many it started."""
    cell.end(draw, LEAVE)
    gc.collect()
    gc.freeze()
    begin, cpu = time.perf_counter(), time.process_time()
    made = cell.plan()
    took = (time.perf_counter() - begin) * 1000, (time.process_time() - cpu) * 1000
    cell.carry_out(made)
    return (*took, len(made.placements))


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
