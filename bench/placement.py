"""Placement decisions a second: trees repaired lazily against a scan of every node."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque

from bench.options import positive
from bench.report import Row
from domain.scheduling.fleet.demand import Demand, FleetNode
from domain.scheduling.fleet.fleet import Chosen, Fleet
from domain.values.ids import NodeId

GIBIBYTE = 2**30
RACK, SPINE = 16, 256
FULL = 0.7
GPUS = ((1, 1000), (1, 500), (1, 250), (1, 700), (2, 1000), (4, 1000), (8, 1000), (0, 1000))
OFTEN = (40, 20, 12, 8, 6, 4, 4, 6)


def options(parser: argparse.ArgumentParser) -> None:
    """How large the fleet is, and how much is placed on it."""
    parser.add_argument("--nodes", type=positive, default=10_000, help="nodes of 8 GPUs (10000)")
    parser.add_argument("--size", type=positive, default=60_000, help="decisions, lazily (60000)")
    parser.add_argument("--scans", type=positive, default=1000, help="of them by full scan (1000)")
    parser.add_argument("--gangs", type=positive, default=20_000, help="gangs (20000)")
    parser.add_argument("--shapes", type=positive, default=150, help="shapes of demand (150)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> list[Row]:
    """Lazy and full scan over the same demands with departures; SystemExit if they differ."""
    draw = random.Random(options.seed)
    shapes = _shapes(draw, options.shapes)
    weights = [count for _, count in shapes]
    asked = draw.choices(range(len(shapes)), weights, k=options.size)
    lazy, _ = _place(_fleet(options.nodes, shapes), shapes, asked, scan=False)  # compiles
    lazy, decided = _place(_fleet(options.nodes, shapes), shapes, asked, scan=False)
    print("lazy done", file=sys.stderr)
    scans = asked[: options.scans]
    full, same = _place(_fleet(options.nodes, shapes), shapes, scans, scan=True)
    if same != decided[: len(same)]:
        raise SystemExit("the full scan decided otherwise")
    print(f"the first {len(same)} decisions are identical", file=sys.stderr)
    gangs = _gangs(_fleet(options.nodes, shapes), options.gangs, draw)
    return [
        Row("placement.scan", full, "1/s", options.nodes, 1, "placement.scan"),
        Row("placement.lazy", lazy, "1/s", options.nodes, lazy / full, "placement.scan"),
        Row("placement.gangs", gangs, "1/s", options.nodes, gangs / full, "placement.scan"),
    ]


def _shapes(draw: random.Random, size: int) -> list[tuple[Demand, int]]:
    """Different shapes, a few of them frequent."""
    found: dict[Demand, int] = {}
    while len(found) < size:
        gpus, milli = draw.choices(GPUS, OFTEN)[0]
        cpu = draw.randint(1, 24) * 500 * max(1, gpus)
        demand = Demand(cpu, draw.randint(1, 16) * GIBIBYTE * max(1, gpus), gpus, milli)
        found.setdefault(demand, 1 + 2000 // (1 + len(found)))
    return list(found.items())


def _fleet(size: int, shapes: list[tuple[Demand, int]]) -> Fleet:
    typical = [(demand, count) for demand, count in shapes[:35]]
    nodes = (
        FleetNode(
            NodeId(f"node-{i}"), 128_000, 1024 * GIBIBYTE, (1000,) * 8, 0, i // RACK, i // SPINE
        )
        for i in range(size)
    )
    return Fleet(nodes, typical=typical)


def _place(
    fleet: Fleet, shapes: list[tuple[Demand, int]], asked: list[int], *, scan: bool
) -> tuple[float, list[Chosen | None]]:
    """Decisions a second and the decisions; what was placed leaves when the fleet is 70 % full.

    Both ways start with one question for each shape, which is not counted.
    """
    numbers = [fleet.intern(demand) for demand, _ in shapes]
    for number in numbers[:1] if scan else numbers:
        (fleet.scan if scan else fleet.choose)(number)
    full = int(FULL * 8000 * len(fleet.ids))
    held: deque[tuple[Chosen, int, int]] = deque()
    used, decided = 0, []
    began = time.perf_counter()
    for shape in asked:
        number, demand = numbers[shape], shapes[shape][0]
        chosen = fleet.scan(number) if scan else fleet.choose(number)
        decided.append(chosen)
        if chosen is not None:
            fleet.take(chosen.node, chosen.devices, number)
            used += demand.gpus * demand.gpu_milli
            held.append((chosen, number, demand.gpus * demand.gpu_milli))
        while used > full:
            left, which, gpu = held.popleft()
            fleet.give_back(left.node, left.devices, which)
            used -= gpu
    return len(asked) / (time.perf_counter() - began), decided


def _gangs(fleet: Fleet, size: int, draw: random.Random) -> float:
    """Gangs asked a second, those that found no room too; the oldest leave as the fleet fills."""
    numbers = [fleet.intern(Demand(8000 * n, 32 * GIBIBYTE * n, n)) for n in (1, 2, 4, 8)]
    asked = [(draw.choice(numbers), draw.choice((2, 2, 4, 4, 8, 16, 32))) for _ in range(size)]
    fleet.choose_gang(*asked[0])  # compiles
    held: deque[tuple[list[Chosen], int]] = deque()
    began = time.perf_counter()
    for number, count in asked:
        gang = fleet.choose_gang(number, count)
        if gang is None:
            gang, number = held.popleft() if held else ([], number)
            for seat in gang:
                fleet.give_back(seat.node, seat.devices, number)
            continue
        for seat in gang:
            fleet.take(seat.node, seat.devices, number)
        held.append((gang, number))
    return size / (time.perf_counter() - began)
