"""The node and task lists of the openb format, and what they ask of a fleet."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from domain.errors import Invalid
from domain.scheduling.fleet.demand import ANY_MODEL, WHOLE, Demand, FleetNode
from domain.values.ids import NodeId

MEBIBYTE = 2**20
COVERED = 0.95
ARRIVED = 1.3
NAMES = ("sn", "name", "model")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Trace:
    """Nodes and the demands of a list of tasks, sorted by the tasks' names."""

    nodes: list[FleetNode]
    demands: list[Demand]

    @property
    def capacity(self) -> int:
        """Thousandths of a GPU on all nodes."""
        return sum(sum(node.gpus) for node in self.nodes)

    def typical(self) -> list[tuple[Demand, int]]:
        """The most frequent shapes (memory aside) until 95 % of the tasks are covered."""
        shapes = Counter(replace(demand, memory_bytes=0) for demand in self.demands)
        found, covered = [], 0
        for shape, count in sorted(shapes.items(), key=lambda each: (-each[1], each[0].row)):
            if covered >= COVERED * len(self.demands):
                break
            found.append((shape, count))
            covered += count
        return found

    def named(self, seed: int) -> list[FleetNode]:
        """The nodes with drawn numbers in front of their names, as published.

        Of equal nodes the first by name is taken, or by the hash of its name: so which that is
        differs from run to run (`syncClusterResourceList` of the authors' simulator).
        """
        numbers = list(range(len(self.nodes)))
        random.Random(f"nodes {seed}").shuffle(numbers)
        ordered = zip(sorted(self.nodes, key=lambda node: node.id), numbers, strict=True)
        return [replace(node, id=NodeId(f"{number:06}-{node.id}")) for node, number in ordered]

    def arrivals(self, seed: int) -> list[Demand]:
        """The list shuffled, then draws from it until 130 % of the capacity would be passed.

        As published, the check on a draw counts one of its GPUs only.
        """
        draw = random.Random(seed)
        found = self.demands.copy()
        draw.shuffle(found)
        total = sum(gpu(demand) for demand in found)
        while self.capacity:
            demand = draw.choice(self.demands)
            if total + demand.gpu_milli * (demand.gpus > 0) > ARRIVED * self.capacity:
                break
            found.append(demand)
            total += gpu(demand)
        return found


def gpu(demand: Demand) -> int:
    """Thousandths of a GPU that a demand asks for in all."""
    return demand.gpus * demand.gpu_milli


def read(nodes: Path, pods: Path) -> Trace:
    """Both files, or SystemExit with the file, line and what is wrong."""
    models: dict[str, int] = {}
    columns = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
    found = _rows(nodes, columns, lambda row: _node(row, models))
    columns = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    tasks = sorted(_rows(pods, columns, lambda row: (row["name"], _demand(row, models))), key=_NAME)
    return Trace(found, [demand for _, demand in tasks])


_NAME = itemgetter(0)


def _node(row: dict[str, str], models: dict[str, int]) -> FleetNode:
    return FleetNode(
        NodeId(row["sn"]),
        int(row["cpu_milli"]),
        int(row["memory_mib"]) * MEBIBYTE,
        (WHOLE,) * int(row["gpu"]),
        models.setdefault(row["model"], len(models)),
    )


def _demand(row: dict[str, str], models: dict[str, int]) -> Demand:
    gpus, names = int(row["num_gpu"]), row.get("gpu_spec") or ""
    mask = ANY_MODEL
    if names:
        mask = sum({1 << models.setdefault(name, len(models)) for name in names.split("|")})
    milli = int(row["gpu_milli"]) if gpus else WHOLE
    return Demand(int(row["cpu_milli"]), int(row["memory_mib"]) * MEBIBYTE, gpus, milli, mask)


def _rows(file: Path, columns: Sequence[str], make: Callable[[dict[str, str]], Made]) -> list[Made]:
    """What the rows of a CSV file say; its named columns are whole numbers but for names."""
    found = []
    try:
        with file.open(newline="") as text:
            reader = csv.DictReader(text)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise SystemExit(f"{file}: column {missing[0]} is missing")
            for line, row in enumerate(reader, 2):
                for name in columns:
                    if name not in NAMES and not (row[name] or "").isdecimal():
                        raise SystemExit(f"{file}:{line}: {name} is no whole number: {row[name]!r}")
                try:
                    found.append(make(row))
                except Invalid as error:
                    raise SystemExit(f"{file}:{line}: {error.detail}") from error
    except OSError as error:
        raise SystemExit(f"{file}: {error.strerror}") from error
    if not found:
        raise SystemExit(f"{file}: has no rows")
    return found
