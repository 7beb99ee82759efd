"""A node as the scheduler sees it: its offer, what its allocations hold, what is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from domain.allocation.allocation import Allocation
from domain.node.node import Node, pool_of
from domain.policy.events import Overcommit
from domain.scheduling.instances import occupy, untouched
from domain.scheduling.space import Space
from domain.values.ids import AllocationId, DeviceId
from domain.values.resources import NOTHING, Resources


@dataclass
class NodeState:
    """A node, what its allocations hold together, and thousandths left of each offered device.

    A later, smaller offer may be less than what is held; `short` is how much less. `cut` says that
    something was held of a GPU of which nothing was left: giving it back would be too much.
    """

    node: Node
    taken: Resources = NOTHING
    left: dict[DeviceId, int] = field(default_factory=dict)
    held: set[AllocationId] = field(default_factory=set)
    seats: int = 0
    owned: int = 0
    mig: dict[DeviceId, int] = field(default_factory=dict)
    """What is taken of each GPU in MIG mode (bits of `Slot.mask`)."""
    cut: bool = field(default=False, compare=False)

    @property
    def takes_work(self) -> bool:
        return self.node.alive and not self.node.cordoned

    def recount(self, allocations: Iterable[Allocation]) -> None:
        """What is held and left, from the offer and the node's allocations."""
        self.taken, self.seats, self.owned, self.cut = NOTHING, 0, 0, False
        self.left, self.mig = untouched(self.node.offer)
        cpu = memory = gpu = storage = network = 0  # a sum of Resources at each step is slow
        for allocation in allocations:
            seats, each = self._seat(allocation), allocation.per_seat
            cpu += seats * each.cpu_milli
            memory += seats * each.memory_bytes
            gpu += seats * each.gpu_milli
            storage += seats * each.storage_bytes
            network += seats * each.network_mbps
        self.taken = Resources(cpu, memory, gpu, storage, network)

    def hold(self, allocation: Allocation) -> None:
        """The allocation's seats here are taken."""
        self.taken += allocation.per_seat * self._seat(allocation)

    def release(self, allocation: Allocation) -> bool:
        """The allocation's seats here are free again; False where only a recount can tell."""
        if self.cut or self.mig:
            return False
        each, count = allocation.per_seat.milli_each, 0
        for seat in allocation.seats:
            if seat.node == self.node.id:
                count += 1
                for device in seat.devices:
                    if device in self.left:
                        self.left[device] += each
        self.taken -= allocation.per_seat * count
        self.seats -= count
        self.owned -= count * allocation.exclusive
        return True

    def _seat(self, allocation: Allocation) -> int:
        """Take the devices of its seats here; how many seats."""
        each, count = allocation.per_seat.milli_each, 0
        for seat in allocation.seats:
            if seat.node != self.node.id:
                continue
            count += 1
            for device in seat.devices:
                if device in self.left:
                    left = self.left[device] - each
                    self.cut = self.cut or left < 0
                    self.left[device] = max(0, left)
            if seat.devices:
                occupy(self.mig, seat.devices)
        self.seats += count
        self.owned += count * allocation.exclusive
        return count

    def space(self, overcommit: dict[str, Overcommit]) -> Space:
        """What may be given away."""
        capacity = self.offered(overcommit)
        free = replace(capacity.less(self.taken), gpu_milli=sum(self.left.values()))
        short = replace(self.taken.less(capacity), gpu_milli=0)
        space = Space(self.node, free, dict(self.left), short, self.seats, self.owned)
        space.mig = dict(self.mig)
        return space

    def offered(self, overcommit: dict[str, Overcommit]) -> Resources:
        """The capacity, with what the policy promises beyond it."""
        capacity = self.node.offer.capacity
        more = overcommit.get(pool_of(self.node.offer)) if overcommit else None
        if more is None:
            return capacity
        return replace(
            capacity,
            cpu_milli=capacity.cpu_milli * more.cpu_milli // 1000,
            memory_bytes=capacity.memory_bytes * more.memory_milli // 1000,
        )
