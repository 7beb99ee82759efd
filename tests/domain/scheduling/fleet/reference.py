"""A fleet written for reading: objects, no trees, no log, every answer by looking at every node."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import exp

from domain.scheduling.fleet.demand import WHOLE, Demand, FleetNode, Score

Seat = tuple[str, tuple[int, ...]]


@dataclass
class Left:
    """A node and what it has left."""

    node: FleetNode
    cpu: int
    memory: int
    gpus: list[int]
    storage: int
    network: int

    def devices(self, demand: Demand) -> list[int]:
        return [d for d, left in enumerate(self.gpus) if left >= demand.gpu_milli]

    def fits(self, demand: Demand) -> bool:
        if not self.node.takes_work or self.cpu < demand.cpu_milli:
            return False
        if self.memory < demand.memory_bytes:
            return False
        if self.storage < demand.storage_bytes or self.network < demand.network_mbps:
            return False
        if not demand.gpus:
            return True
        return bool(demand.models >> self.node.model & 1) and (
            len(self.devices(demand)) >= demand.gpus
        )

    def without(self, demand: Demand, devices: tuple[int, ...], sign: int = -1) -> Left:
        gpus = [left + sign * demand.gpu_milli * (d in devices) for d, left in enumerate(self.gpus)]
        return Left(
            self.node,
            self.cpu + sign * demand.cpu_milli,
            self.memory + sign * demand.memory_bytes,
            gpus,
            self.storage + sign * demand.storage_bytes,
            self.network + sign * demand.network_mbps,
        )

    def pick(self, demand: Demand, loose: bool) -> tuple[int, ...]:
        loose = loose or demand.gpus > 1
        key = lambda d: (-self.gpus[d] if loose else self.gpus[d], d)  # noqa: E731 - as a sort key
        return tuple(sorted(sorted(self.devices(demand), key=key)[: demand.gpus]))

    def seats(self, demand: Demand) -> int:
        """By seating one after the other."""
        now, found = self, 0
        while now.fits(demand) and found < 1 << 20:
            now = now.without(demand, now.pick(demand, False))
            found += 1
        return found


class Reference:
    """The same questions as `Fleet`, by node id."""

    def __init__(self, nodes: list[FleetNode], score: Score) -> None:
        self.score = score
        self.typical: list[tuple[Demand, int]] = []
        self.allowed: dict[str, set[str]] = {}
        self.left: dict[str, Left] = {}
        for node in sorted(nodes, key=lambda each: each.place):
            self.set_node(node)
        self.marks: list[dict[str, Left]] = []

    def set_node(self, node: FleetNode) -> None:
        cpu, memory, gpus = node.cpu_milli, node.memory_bytes, list(node.gpus)
        left = Left(node, cpu, memory, gpus, node.storage_bytes, node.network_mbps)
        self.left[node.id] = left

    def fragments(self, left: Left) -> int:
        total = 0
        for demand, count in self.typical:
            fit = left.devices(demand)
            usable = (
                demand.gpus
                and left.cpu >= demand.cpu_milli
                and demand.models >> left.node.model & 1
                and len(fit) >= demand.gpus
            )
            total += count * (sum(left.gpus) - (sum(left.gpus[d] for d in fit) if usable else 0))
        return total

    def rate(self, left: Left, demand: Demand) -> tuple[int, tuple[int, ...]]:
        if self.score is not Score.FRAGMENT:
            devices = left.pick(demand, self.score is Score.SPREAD)
            after = left.without(demand, devices)
            amount = sum(after.gpus) * 2**40 + min(after.cpu, 2**40 - 1)
            return (amount if self.score is Score.SPREAD else -amount), devices
        options = [left.pick(demand, False)]
        if demand.gpus == 1 and demand.gpu_milli < WHOLE:
            options = [(d,) for d in left.devices(demand)]
        weight = 1000 * max(1, sum(count for _, count in self.typical))
        before, used = self.fragments(left), any(gpu < WHOLE for gpu in left.gpus)
        spare = used if demand.gpus else not any(left.gpus)
        changes = [before - self.fragments(left.without(demand, each)) for each in options]
        rated = [
            (2 * int(100 / (1 + exp(-change / weight))) + spare, each)
            for change, each in zip(changes, options, strict=True)
        ]
        return max(rated, key=lambda each: each[0])  # the first of the greatest

    def able(self, demand: Demand) -> list[str]:
        names = self.allowed[demand.key] if demand.key else set(self.left)
        return [name for name in self.left if name in names]

    def choose(self, demand: Demand) -> Seat | None:
        found = [
            (self.rate(self.left[name], demand), name)
            for name in self.able(demand)
            if self.left[name].fits(demand)
        ]
        if not found:
            return None
        (_, devices), name = max(found, key=lambda each: each[0][0])
        return name, devices

    def move(self, seat: Seat, demand: Demand, sign: int) -> None:
        self.left[seat[0]] = self.left[seat[0]].without(demand, seat[1], sign)

    def mark(self) -> None:
        self.marks.append(copy.deepcopy(self.left))

    def rollback(self) -> None:
        self.left = self.marks.pop()

    def seat(self, demand: Demand, names: list[str], count: int) -> list[Seat]:
        """Seats one after the other on these nodes, each on the best one then."""
        before, found = dict(self.left), list[Seat]()
        while len(found) < count:
            rated = [
                (self.rate(self.left[name], demand), name)
                for name in names
                if self.left[name].fits(demand)
            ]
            if not rated:
                break
            (_, devices), name = max(rated, key=lambda each: each[0][0])
            found.append((name, devices))
            self.move(found[-1], demand, -1)
        self.left = before
        return found
