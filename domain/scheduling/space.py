"""Space: what one node has left in a planning cycle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from domain.allocation.allocation import Allocation
from domain.node.node import Node
from domain.scheduling import instances
from domain.scheduling.demand import Demand
from domain.values.ids import DeviceId
from domain.values.resources import NOTHING, Resources
from domain.values.topology import Device


@dataclass
class Space:
    """What a node has left: resources, and thousandths of each device, in the offer's order.

    `short` is what it holds beyond its offer: the first that is given back settles that.
    `seats` counts what runs there; one that wants the node for itself (`owned`) leaves nothing.
    """

    node: Node
    free: Resources
    left: dict[DeviceId, int]
    short: Resources = NOTHING
    seats: int = 0
    owned: int = 0
    mig: dict[DeviceId, int] = field(default_factory=dict)
    """What is taken of each GPU in MIG mode (bits of `Slot.mask`)."""

    def copy(self) -> Space:
        left, mig = dict(self.left), dict(self.mig)
        return Space(self.node, self.free, left, self.short, self.seats, self.owned, mig)

    def take(self, devices: Iterable[DeviceId], per_seat: Resources, owned: bool) -> None:
        """Give a seat away; what is not there (still held by a victim) is not counted."""
        self.free = self.free.less(per_seat)
        each = per_seat.milli_each
        for device in devices:
            if device in self.left:
                self.left[device] = max(0, self.left[device] - each)
        if self.mig:
            instances.occupy(self.mig, devices)
        self.seats += 1
        self.owned += owned

    def give_back(self, devices: Iterable[DeviceId], per_seat: Resources, owned: bool) -> None:
        """Count a seat as free, but for devices the node no longer offers."""
        each, back = per_seat.milli_each, 0
        for device in devices:
            if device in self.left:
                self.left[device] = min(1000, self.left[device] + each)
                back += each
        if self.mig:
            back += instances.vacate(self.mig, devices) * each
        returned = per_seat if per_seat.gpu_milli == back else replace(per_seat, gpu_milli=back)
        if self.short == NOTHING:
            self.free = self.free + returned
        else:
            self.free = self.free + returned.less(self.short)
            self.short = self.short.less(returned)
        self.seats -= 1
        self.owned -= owned

    def leave(self, allocations: Iterable[Allocation]) -> None:
        """Count what these have here as free: `give_back` of each seat, in one sum."""
        cpu = memory = gpu = storage = network = 0  # a sum of Resources at each step is slow
        for allocation in allocations:
            want = allocation.per_seat
            each = want.milli_each
            for seat in allocation.seats:
                if seat.node != self.node.id:
                    continue
                for device in seat.devices:
                    if device in self.left:
                        self.left[device] = min(1000, self.left[device] + each)
                        gpu += each
                if self.mig:
                    gpu += instances.vacate(self.mig, seat.devices) * each
                cpu += want.cpu_milli
                memory += want.memory_bytes
                storage += want.storage_bytes
                network += want.network_mbps
                self.seats -= 1
                self.owned -= allocation.exclusive
        returned = Resources(cpu, memory, gpu, storage, network)
        self.free = self.free + returned.less(self.short)
        self.short = self.short.less(returned)

    def least(self, other: Space) -> Space:
        """What is there both now and in another state of the same node."""
        left = {
            device: min(milli, other.left.get(device, 0)) for device, milli in self.left.items()
        }
        return Space(
            self.node,
            replace(self.free.least(other.free), gpu_milli=sum(left.values())),
            left,
            self.short,
            max(self.seats, other.seats),
            max(self.owned, other.owned),
            instances.both(self.mig, other.mig),
        )

    def count(self, demand: Demand, model: str) -> int:
        """How many seats of the demand fit by resources alone."""
        want, free = demand.per_seat, self.free
        if self.owned or (demand.where.exclusive and self.seats):
            return 0
        most = demand.replicas
        if want.cpu_milli:
            most = min(most, free.cpu_milli // want.cpu_milli)
        if want.memory_bytes:
            most = min(most, free.memory_bytes // want.memory_bytes)
        if want.storage_bytes:
            most = min(most, free.storage_bytes // want.storage_bytes)
        if want.network_mbps:
            most = min(most, free.network_mbps // want.network_mbps)
        if want.gpu_milli and most:
            if demand.mig:
                fit = instances.count(self.node.offer, self.mig, demand.mig, model)
            else:
                fit = self._count_gpus(want, model)
            most = min(most, fit)
        return min(1, most) if demand.where.exclusive else most

    def _count_gpus(self, want: Resources, model: str) -> int:
        each = want.milli_each
        usable = sum(
            self.left[device.id] // each
            for device in self.node.offer.devices
            if device.model == model and device.id in self.left
        )
        return usable // want.gpus

    def holds(self, devices: Iterable[DeviceId], per_seat: Resources, owned: bool) -> bool:
        """Whether a seat on just these devices fits."""
        if self.owned or (owned and self.seats):
            return False
        each, free = per_seat.milli_each, self.free
        return (
            per_seat.cpu_milli <= free.cpu_milli
            and per_seat.memory_bytes <= free.memory_bytes
            and per_seat.storage_bytes <= free.storage_bytes
            and per_seat.network_mbps <= free.network_mbps
            and all(
                self.left.get(device, 0) >= each or instances.is_free(self.mig, device)
                for device in devices
            )
        )

    def choose(self, want: Resources, model: str) -> tuple[DeviceId, ...]:
        """Whole GPUs for one seat that fits, together.

        They come from the island (then NUMA node) with the fewest free that has enough, else from
        those with the most.
        """
        if not want.gpu_milli:
            return ()
        each, count = want.milli_each, want.gpus
        usable = [
            device
            for device in self.node.offer.devices
            if device.model == model and self.left.get(device.id, 0) >= each
        ]
        return tuple(device.id for device in _close(usable, count))


def _close(devices: list[Device], count: int) -> list[Device]:
    groups: dict[tuple[str, int], list[Device]] = {}
    for device in devices:
        groups.setdefault((device.island, device.numa), []).append(device)
    if len(groups) == 1:
        return devices[:count]
    islands: dict[str, list[Device]] = {}
    for device in devices:
        islands.setdefault(device.island, []).append(device)
    for candidates in (groups.values(), islands.values()):
        enough = [group for group in candidates if len(group) >= count]
        if enough:
            return min(enough, key=len)[:count]
    spread = sorted(islands.values(), key=len, reverse=True)
    return [device for group in spread for device in group][:count]
