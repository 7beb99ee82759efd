"""The inventory: the nodes that are expected, and how what agents offer differs from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Invalid
from domain.node.events import Registered
from domain.values.checks import between
from domain.values.ids import DeviceId, NodeId, check_name
from domain.values.quantity import GIB, LARGEST
from domain.values.resources import Resources
from domain.values.topology import Device

MAX_NODES = 100_000
MAX_GPUS = 1024
KEPT_BACK = 16
"""Firmware and kernel keep a part of the memory: an offer may lack one in so many parts of it."""


@dataclass(frozen=True)
class ExpectedNode:
    """A node that is to be there: what it has in all."""

    id: NodeId
    cpu_milli: int
    memory_bytes: int
    gpus: int = 0
    gpu_type: str = ""


@dataclass(frozen=True)
class Cluster:
    """Nodes under one name."""

    name: str
    nodes: tuple[ExpectedNode, ...] = ()


class Mismatch(StrEnum):
    """How a node's offer differs from what is expected of it."""

    FEWER_GPUS = "fewer_gpus"
    MORE_GPUS = "more_gpus"
    OTHER_GPUS = "other_gpus"
    LESS_CPU = "less_cpu"
    LESS_MEMORY = "less_memory"


def check_inventory(clusters: tuple[Cluster, ...]) -> None:
    """Refuse what no fleet can be, naming the field: a node twice, GPUs without a type."""
    if sum(len(cluster.nodes) for cluster in clusters) > MAX_NODES:
        raise Invalid("too_large", f"clusters: at most {MAX_NODES} nodes", field="clusters")
    seen: dict[str, str] = {}
    for cluster in clusters:
        check_name("clusters", cluster.name)
        for number, node in enumerate(cluster.nodes):
            field = f"clusters.{cluster.name}.nodes.{number}"
            check_name(f"{field}.id", node.id)
            if node.id in seen:
                detail = f"{field}.id: {node.id} stands at {seen[node.id]} already"
                raise Invalid("duplicate_node", detail, field=f"{field}.id")
            seen[node.id] = field
            _check_node(field, node)


def _check_node(field: str, node: ExpectedNode) -> None:
    between(f"{field}.gpus", node.gpus, 0, MAX_GPUS)
    between(f"{field}.cpu_cores", node.cpu_milli, 1, LARGEST // MAX_NODES)
    between(f"{field}.memory_gb", node.memory_bytes, 1, LARGEST // MAX_NODES)
    if node.gpus and not node.gpu_type:
        detail = f"{field}.gpu_type: name the model of the {node.gpus} GPUs"
        raise Invalid("gpu_type_missing", detail, field=f"{field}.gpu_type")
    if node.gpu_type and not node.gpus:
        detail = f"{field}.gpus: it names a GPU type: say how many, or leave the type out"
        raise Invalid("gpu_type_without_gpu", detail, field=f"{field}.gpus")


def expected(clusters: tuple[Cluster, ...]) -> dict[NodeId, tuple[str, ExpectedNode]]:
    """Each expected node with its cluster's name."""
    return {node.id: (cluster.name, node) for cluster in clusters for node in cluster.nodes}


def offer_of(node: ExpectedNode) -> Registered:
    """What the node's agent is taken to offer once it is there: every runner, no labels."""
    devices = tuple(
        Device(DeviceId(f"{node.id}/{n}"), node.gpu_type, 80 * GIB) for n in range(node.gpus)
    )
    capacity = Resources(node.cpu_milli, node.memory_bytes, 1000 * node.gpus)
    return Registered(node.id, "expected", capacity, devices, ("docker", "sandbox"))


def mismatches(node: ExpectedNode, offer: Registered) -> tuple[Mismatch, ...]:
    """Where the offer is less than expected, or has other GPUs."""
    found = []
    there = len(offer.devices)
    if there < node.gpus:
        found.append(Mismatch.FEWER_GPUS)
    if there > node.gpus:
        found.append(Mismatch.MORE_GPUS)
    if node.gpus and any(device.model != node.gpu_type for device in offer.devices):
        found.append(Mismatch.OTHER_GPUS)
    if offer.capacity.cpu_milli < node.cpu_milli:
        found.append(Mismatch.LESS_CPU)
    if offer.capacity.memory_bytes < node.memory_bytes - node.memory_bytes // KEPT_BACK:
        found.append(Mismatch.LESS_MEMORY)
    return tuple(found)
