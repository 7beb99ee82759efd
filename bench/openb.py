"""GPU allocated as tasks arrive that never leave: the protocol of the FGD paper (ATC'23)."""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.openb_scores import PUBLISHED, affinity, compiled, published
from bench.openb_trace import Trace, gpu, read
from bench.options import seeds
from bench.report import Row
from domain.scheduling.fleet.demand import Demand
from domain.scheduling.fleet.fleet import Chosen, Fleet
from domain.scheduling.fleet.rows import devices_of

POLICIES = ("default", *PUBLISHED)
POINTS = {"allocated": (100, 130), "fragments": (50, 90)}
Curve = dict[tuple[str, int], float]
Expected = dict[tuple[str, str, str, int], float]
"""Published medians by list, policy, kind and point."""
Choose = Callable[[Demand], Chosen | None]


def options(parser: argparse.ArgumentParser) -> None:
    """The lists, the policies, the seeds, and published figures to compare with."""
    parser.add_argument("--nodes", type=Path, required=True, help="node list (CSV)")
    parser.add_argument("--pods", type=Path, required=True, nargs="+", help="task lists (CSV)")
    names = (*POLICIES, "all")
    parser.add_argument("--policy", choices=names, nargs="+", default=["default"])
    parser.add_argument("--seeds", type=seeds, default=range(42, 52), help="FIRST-LAST (42-51)")
    about = "published results (CSV, allocation or fragments) to compare the medians with"
    parser.add_argument("--expected", type=Path, nargs="*", default=[], help=about)


def run(options: argparse.Namespace) -> list[Row]:
    """Medians over the seeds, each with its ratio and difference to the published one, if given."""
    expected: Expected = {}
    for file in options.expected:
        expected |= _published(file)
    policies = POLICIES if "all" in options.policy else tuple(dict.fromkeys(options.policy))
    found: list[Row] = []
    for pods in options.pods:
        trace = read(options.nodes, pods)
        for policy in policies:
            print(f"{pods.stem} {policy}", file=sys.stderr)
            curves = [_Run(trace, policy, seed).curve() for seed in options.seeds]
            found += _rows(pods.stem, policy, curves, expected)
    return found


def _rows(name: str, policy: str, curves: list[Curve], expected: Expected) -> list[Row]:
    found = []
    for kind, points in POINTS.items():
        for point in points:
            value = median(_at(curve, kind, point) for curve in curves)
            row, size = f"openb.{name}.{policy}.{kind}-{point}", len(curves)
            known = expected.get((name, "fgd" if policy == "default" else policy, kind, point))
            if known is None:
                found.append(Row(row, value, "%", size, 1, row))
            else:
                found.append(Row(row, value, "%", size, value / known, f"published {known:.2f}"))
                above = Row(f"{row}.above", value - known, "points", size, value / known, row)
                found.append(above)
    return found


def _at(curve: Curve, kind: str, point: int) -> float:
    """The value at a point, or at the last before it where an arrival is more than a percent."""
    return curve[kind, max(at for what, at in curve if what == kind and at <= point)]


class _Run:
    """One list of arrivals placed by one policy; tasks never leave and are never tried again."""

    def __init__(self, trace: Trace, policy: str, seed: int) -> None:
        self.trace, self.seed = trace, seed
        self.typical = trace.typical()
        self.fleet = Fleet(trace.nodes, typical=self.typical)
        self.choose: Choose = lambda demand: self.fleet.choose(self.fleet.intern(demand))
        if policy in PUBLISHED:
            self.choose = _Published(self.fleet, self.typical, PUBLISHED[policy], seed)

    def curve(self) -> Curve:
        """The mean over the arrivals that round to each whole percent of arrived demand."""
        fleet, capacity = self.fleet, self.trace.capacity
        weight = sum(count for _, count in self.typical)
        each = [fleet.fragments(index) for index in range(len(fleet.ids))]
        lost, arrived, allocated = sum(each), 0, 0
        seen: dict[tuple[str, int], list[float]] = defaultdict(list)
        for demand in self.trace.arrivals(self.seed):
            number = fleet.intern(demand)
            arrived += gpu(demand)
            chosen = self.choose(demand)
            if chosen is not None:
                index = chosen.node
                fleet.take(index, chosen.devices, number)
                allocated += gpu(demand)
                now = fleet.fragments(index)
                lost, each[index] = lost + now - each[index], now
            point = round(100 * arrived / capacity)
            seen["allocated", point].append(100 * allocated / capacity)
            if allocated < capacity:
                share = 100 * lost / weight / (capacity - allocated)
                seen["fragments", point].append(share)
        return {key: fmean(values) for key, values in seen.items()}


class _Published:
    """A published score, choosing over the fleet's rows in an order drawn by the seed.

    As published: of equal nodes the first by name is taken, but before a run the names of the
    nodes get random numbers in front (`syncClusterResourceList` of the authors' simulator).
    """

    _compiled: Any = None

    def __init__(
        self, fleet: Fleet, typical: list[tuple[Demand, int]], policy: int, seed: int
    ) -> None:
        self.fleet, self.policy = fleet, policy
        self.best: Any = published
        if fleet.compiled:
            _Published._compiled = _Published._compiled or compiled()
            self.best = _Published._compiled
        self.chance = random.Random(f"nodes {seed}")
        order = sorted(range(len(fleet.ids)), key=fleet.ids.__getitem__)
        self.chance.shuffle(order)
        self.order = fleet.cells.of(order)
        self.kinds = fleet.cells.filled(len(fleet.ids), 0)
        flat = [value for demand, count in typical for value in (*demand.row[:5], count)]
        self.typical = fleet.cells.of(flat)
        self.total = sum(count for _, count in typical)

    def __call__(self, demand: Demand) -> Chosen | None:
        row = self.fleet.cells.of(demand.row)
        found, mask = self.best(
            self.fleet.nodes, self.order, self.kinds, row, self.typical, self.total, self.policy,
            self.chance.getrandbits(31),
        )  # fmt: skip
        if found < 0:
            return None
        if demand.gpus:
            self.kinds[found] |= 1 << affinity(row)
        return Chosen(int(found), devices_of(int(mask)))


def _published(file: Path) -> Expected:
    """The median over seeds at the points reported, by list, policy, kind and point."""
    values: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    try:
        with file.open(newline="") as text:
            reader = csv.DictReader(text)
            kind = "allocated" if "total_gpus" in (reader.fieldnames or ()) else "fragments"
            for row in reader:
                policy = row["sc_policy"].partition("-")[2].lower().removeprefix("gpu")
                for point in POINTS[kind]:
                    values[row["workload"], policy, kind, point].append(float(row[str(point)]))
    except OSError as error:
        raise SystemExit(f"{file}: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise SystemExit(f"{file}: is no table of published results: {error}") from error
    return {key: median(each) for key, each in values.items()}
