"""Placement decisions a second: trees repaired lazily against a scan of every node."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque

from bench.big_cell import BigCell
from bench.options import positive
from bench.report import Row
from domain.scheduling.demand import Demand
from domain.scheduling.fleet.demand import Demand as Seat
from domain.scheduling.fleet.demand import FleetNode
from domain.scheduling.fleet.fleet import Chosen, Fleet
from domain.scheduling.place import place
from domain.scheduling.room import Found
from domain.values.ids import NodeId
from domain.values.resources import Resources

GIBIBYTE = 2**30
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
    gangs = _gangs(options.nodes, options.gangs, draw)
    return [
        Row("placement.scan", full, "1/s", options.nodes, 1, "placement.scan"),
        Row("placement.lazy", lazy, "1/s", options.nodes, lazy / full, "placement.scan"),
        Row("placement.gangs", gangs, "1/s", options.nodes, gangs / full, "placement.scan"),
    ]


def _shapes(draw: random.Random, size: int) -> list[tuple[Seat, int]]:
    """Different shapes, a few of them frequent."""
    found: dict[Seat, int] = {}
    while len(found) < size:
        gpus, milli = draw.choices(GPUS, OFTEN)[0]
        cpu = draw.randint(1, 24) * 500 * max(1, gpus)
        demand = Seat(cpu, draw.randint(1, 16) * GIBIBYTE * max(1, gpus), gpus, milli)
        found.setdefault(demand, 1 + 2000 // (1 + len(found)))
    return list(found.items())


def _fleet(size: int, shapes: list[tuple[Seat, int]]) -> Fleet:
    typical = [(demand, count) for demand, count in shapes[:35]]
    nodes = (
        FleetNode(NodeId(f"node-{i}"), 128_000, 1024 * GIBIBYTE, (1000,) * 8) for i in range(size)
    )
    return Fleet(nodes, typical=typical)


def _place(
    fleet: Fleet, shapes: list[tuple[Seat, int]], asked: list[int], *, scan: bool
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


def _gangs(nodes: int, size: int, draw: random.Random) -> float:
    """Gangs that the planner is asked to place a second, those that found no room too.

    The oldest leave as the fleet fills.
    """
    room = BigCell(nodes).room()
    asked = [
        Demand(
            False,
            Resources(8000 * gpus, 32 * GIBIBYTE * gpus, 1000 * gpus),
            replicas=seats,
            least=seats,
        )
        for gpus, seats in (
            (draw.choice((1, 2, 4, 8)), draw.choice((2, 2, 4, 4, 8, 16, 32))) for _ in range(size)
        )
    ]
    place(asked[0], room)  # compiles
    held: deque[tuple[Found, Demand]] = deque()
    began = time.perf_counter()
    for demand in asked:
        found = place(demand, room)
        if found is not None:
            room.take(found.seats, demand)
            held.append((found, demand))
        elif held:
            left, which = held.popleft()
            room.give_back_seats(left.seats, which)
    return size / (time.perf_counter() - began)
