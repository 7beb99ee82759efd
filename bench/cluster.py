"""The cluster of a simulation: nodes all alike, or an inventory, and jobs cut into seats for it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.trace import TraceJob
from domain.job.spec import JobSpec
from domain.node.events import Registered
from domain.scheduling.profile import Amount
from domain.values.ids import DeviceId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.time import YEAR_SECONDS
from domain.values.topology import Device

MIB = 2**20
BIG = 2**40
"""Memory of a node in a trace that says nothing of memory."""


def gpu_nodes(count: int, per_node: int) -> list[Registered]:
    """Nodes with so many whole GPUs and more than enough of the rest."""
    return [_offer(f"node-{n:05}", Resources(per_node * 1000, BIG), per_node) for n in range(count)]


def cpu_nodes(count: int, per_node: int) -> list[Registered]:
    """Nodes with so many CPUs."""
    return [_offer(f"node-{n:05}", Resources(per_node * 1000, BIG), 0) for n in range(count)]


def read_nodes(path: Path) -> list[Registered]:
    """An inventory with columns sn, cpu_milli, memory_mib, gpu, model."""
    found = []
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                room = Resources(int(row["cpu_milli"]), int(row["memory_mib"]) * MIB)
                found.append(_offer(row["sn"], room, int(row["gpu"] or 0), row["model"]))
    except (OSError, KeyError, ValueError) as wrong:
        raise SystemExit(f"{path}: not a list of nodes: {wrong!r}") from None
    return found


def capacity(offers: Sequence[Registered]) -> Resources:
    """What all offer together."""
    total = Resources()
    for offer in offers:
        total = total + offer.capacity
    return total


@dataclass(frozen=True)
class Cut:
    """How a trace's jobs become specs: seats of at most `per_node` of its one resource.

    `what` is "gpu", "cpu", or "openb", whose jobs are one seat each; a share of a GPU becomes
    a whole one there, for the planner places whole GPUs.
    """

    what: str
    per_node: int
    nodes: int

    def spec(self, job: TraceJob) -> JobSpec:
        each, seats = self._seat(job)
        name, project = job.name, ProjectId(job.user or "trace")
        estimate = min(max(job.estimate, 1), YEAR_SECONDS)
        run = JobSpec(name, project, ("run",), None, each, (), seats)
        return replace(run, estimate_seconds=estimate)

    def _seat(self, job: TraceJob) -> tuple[Resources, int]:
        if self.what == "openb":
            cpu, memory, gpu = job.amount
            return Resources(cpu, memory * MIB, -(-gpu // 1000) * 1000), 1
        most = min(job.size, self.per_node)
        each = next(size for size in range(most, 0, -1) if self._whole(job.size, size))
        gpu = each * 1000 if self.what == "gpu" else 0
        return Resources(each * 1000, 0, gpu), job.size // each

    def _whole(self, size: int, each: int) -> bool:
        """Whether equal seats of `each` make the size and an empty cluster has them all."""
        return size % each == 0 and size // each <= self.nodes * (self.per_node // each)


def amount_of(resources: Resources) -> Amount:
    """CPU milli, memory MiB and GPU milli."""
    return (resources.cpu_milli, resources.memory_bytes // MIB, resources.gpu_milli)


def _offer(name: str, room: Resources, gpus: int, model: str = "GPU") -> Registered:
    devices = tuple(Device(DeviceId(f"{name}-gpu{n}"), model, 80 * 2**30) for n in range(gpus))
    whole = Resources(room.cpu_milli, room.memory_bytes, gpus * 1000)
    return Registered(NodeId(name), "boot-1", whole, devices, ("sandbox",))
