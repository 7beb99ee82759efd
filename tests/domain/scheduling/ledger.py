"""What is free, counted anew from offers and allocations: a judge that shares no code with Room."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from domain.allocation.seat import Seat
from domain.job.spec import JobSpec
from domain.node.node import Node
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, JobId, NodeId
from domain.values.resources import Resources


@dataclass
class Account:
    """One node: what is left, below nothing if more is held than offered."""

    node: Node
    cpu: int
    memory: int
    devices: dict[DeviceId, str]

    def take(self, seat: Seat, per_seat: Resources) -> None:
        self.cpu -= per_seat.cpu_milli
        self.memory -= per_seat.memory_bytes
        for device in seat.devices:
            self.devices.pop(device, None)

    def seats(self, spec: JobSpec, model: str) -> int:
        """How many seats of the job the node takes now with GPUs of this model."""
        runs = {"docker"} if spec.image else set(self.node.offer.runners) - {"docker"}
        if not self.node.alive or self.node.cordoned or not runs & set(self.node.offer.runners):
            return 0
        want = spec.resources
        gpus = sum(1 for m in self.devices.values() if m == model)
        pairs = (
            (self.cpu, want.cpu_milli),
            (self.memory, want.memory_bytes),
            (gpus, want.gpu_milli // 1000),
        )
        if any(need > max(have, 0) for have, need in pairs):
            return 0
        return min((have // need for have, need in pairs if need), default=spec.replicas)


class Ledger:
    """The nodes' accounts, without the allocations of the jobs in `gone`."""

    def __init__(self, snapshot: Snapshot, gone: Collection[JobId] = ()) -> None:
        self.accounts: dict[NodeId, Account] = {}
        for node_id, state in snapshot.nodes.items():
            offer = state.node.offer
            devices = {device.id: device.model for device in offer.devices}
            self.accounts[node_id] = Account(
                state.node, offer.capacity.cpu_milli, offer.capacity.memory_bytes, devices
            )
        for allocation in snapshot.allocations.values():
            if allocation.job not in gone:
                self.take(allocation.seats, allocation.per_seat)

    def take(self, seats: Iterable[Seat], per_seat: Resources) -> None:
        for seat in seats:
            self.accounts[seat.node].take(seat, per_seat)

    def seats(self, spec: JobSpec) -> int:
        """How many seats of the gang fit, all with one GPU model; at most all of them."""
        most = 0
        for model in self.models(spec):
            counts = (account.seats(spec, model) for account in self.accounts.values())
            most = max(most, sum(counts))
        return min(most, spec.replicas)

    def fits(self, spec: JobSpec) -> bool:
        return self.seats(spec) == spec.replicas

    def models(self, spec: JobSpec) -> set[str]:
        if not spec.resources.gpu_milli:
            return {""}
        known = {m for account in self.accounts.values() for m in account.devices.values()}
        return known & set(spec.gpu_types) if spec.gpu_types else known
