"""Random walks over fleets: everything that can happen, asked of every engine at once."""

from __future__ import annotations

import random

from domain.scheduling.fleet.demand import Demand, FleetNode, Score
from domain.scheduling.fleet.fleet import Chosen, Fleet
from domain.values.ids import NodeId
from tests.domain.scheduling.fleet.reference import Reference, Seat

KEY = "some"
SHARES = ((1, 1000), (1, 1000), (1, 300), (1, 550), (1, 50), (2, 1000), (4, 1000), (2, 400), (0, 1))


def some_node(draw: random.Random, number: int, known: FleetNode | None = None) -> FleetNode:
    """A node, or what a known one has left now: it keeps its number of GPUs and their model."""
    count = len(known.gpus) if known else draw.choice((0, 2, 4, 8))
    return FleetNode(
        NodeId(f"node-{number}"),
        draw.choice((-500, 4000, 16_000, 64_000)),
        draw.choice((2**30, 2**36)),
        tuple(draw.choice((1000, 1000, 1000, 600, 0)) for _ in range(count)),
        known.model if known else draw.choice((0, 0, 1, 5)),
        draw.random() < 0.9,
        storage_bytes=draw.choice((0, 500, 2**40)),
        network_mbps=draw.choice((0, 2**20)),
    )


def some_demand(draw: random.Random) -> Demand:
    gpus, milli = draw.choice(SHARES)
    models = draw.choice((2**62 - 1, 2**62 - 1, 1, 34))
    cpu, memory = draw.choice((500, 1000, 8000)), draw.choice((2**20, 2**29, 2**33))
    storage, network = draw.choice((0, 0, 300)), draw.choice((0, 0, 1))
    return Demand(cpu, memory, gpus, milli, models, draw.choice(("", "", KEY)), storage, network)


class Walk:
    """One seed's walk; `step` fails when an engine answers otherwise than the reference."""

    def __init__(self, seed: int, size: int, score: Score, compiled: tuple[bool, ...]) -> None:
        self.draw = draw = random.Random(seed)
        nodes = [some_node(draw, number) for number in range(size)]
        self.reference = Reference(nodes, score)
        self.fleets = [Fleet(nodes, score, trees=5, compiled=each) for each in compiled]
        self.demands = [some_demand(draw) for _ in range(9)]
        self.held: list[list[tuple[Seat, Demand]]] = [[]]
        self.forks: list[list[Fleet]] = []
        self.size = size
        self.allow()
        self.typical()

    def step(self) -> None:
        actions = (
            (self.arrive, 40), (self.leave, 20), (self.gang, 15), (self.change, 6),
            (self.allow_one, 3), (self.typical, 1), (self.fork, 3), (self.back, 3), (self.count, 4),
        )  # fmt: skip
        self.draw.choices([each for each, _ in actions], [often for _, often in actions])[0]()

    def arrive(self) -> None:
        demand = self.draw.choice(self.demands)
        seat = self.reference.choose(demand)
        for fleet in self.fleets:
            number = fleet.intern(demand)
            assert self.seat(fleet, fleet.choose(number)) == seat
            assert self.seat(fleet, fleet.scan(number)) == seat
        if seat:
            self.take([seat], demand)

    def gang(self) -> None:
        demand, count = self.draw.choice(self.demands), self.draw.choice((1, 2, 3, 5, 9, 20))
        names = [name for name in self.reference.able(demand) if self.draw.random() < 0.8]
        seats = self.reference.seat(demand, names, count)
        for fleet in self.fleets:
            members = fleet.cells.of([fleet.index[NodeId(name)] for name in names])
            found = fleet.seat(fleet.intern(demand), members, count)
            assert [self.seat(fleet, each) for each in found] == seats
        if seats and self.draw.random() < 0.5:
            self.take(seats, demand)

    def take(self, seats: list[Seat], demand: Demand) -> None:
        for seat in seats:
            self.reference.move(seat, demand, -1)
            self.held[-1].append((seat, demand))
            for fleet in self.fleets:
                fleet.take(fleet.index[NodeId(seat[0])], seat[1], fleet.intern(demand))

    def leave(self) -> None:
        if not self.held[-1]:
            return
        seat, demand = self.held[-1].pop(self.draw.randrange(len(self.held[-1])))
        self.reference.move(seat, demand, 1)
        for fleet in self.fleets:
            fleet.give_back(fleet.index[NodeId(seat[0])], seat[1], fleet.intern(demand))

    def change(self) -> None:
        """A node is lost, cordoned, comes back or has something else left; its seats are gone."""
        number = self.draw.randrange(self.size)
        known = self.reference.left[f"node-{number}"].node
        node = some_node(self.draw, number, known)
        self.reference.set_node(node)
        self.held[-1] = [each for each in self.held[-1] if each[0][0] != node.id]
        left = [node.cpu_milli, node.memory_bytes, node.storage_bytes, node.network_mbps]
        for fleet in self.fleets:
            fleet.put(fleet.index[node.id], [*left, int(node.takes_work), *node.gpus])

    def allow(self) -> None:
        names = {name for name in self.reference.left if self.draw.random() < 0.7}
        self.reference.allowed[KEY] = names
        for fleet in self.fleets:
            fleet.allow(KEY, [name in names for name in fleet.ids])

    def allow_one(self) -> None:
        if self.forks:
            return  # tables are shared with what was copied
        name = self.draw.choice(list(self.reference.left))
        self.reference.allowed[KEY] ^= {name}
        for fleet in self.fleets:
            allowed = name in self.reference.allowed[KEY]
            fleet.allow_node(KEY, fleet.index[NodeId(name)], allowed)

    def typical(self) -> None:
        if self.forks:
            return  # what was copied would know another
        chosen = self.draw.sample(self.demands, self.draw.randrange(len(self.demands)))
        self.reference.typical = [(each, self.draw.randint(1, 50)) for each in chosen]
        for fleet in self.fleets:
            fleet.set_typical(self.reference.typical)

    def fork(self) -> None:
        """Go on with copies; what they were made of stays as it is."""
        self.reference.mark()
        self.forks.append(self.fleets)
        self.fleets = [fleet.copy() for fleet in self.fleets]
        self.held.append(list(self.held[-1]))

    def back(self) -> None:
        """Leave the copies."""
        if self.forks:
            self.reference.rollback()
            self.held.pop()
            self.fleets = self.forks.pop()

    def count(self) -> None:
        demand = self.draw.choice(self.demands)
        names = self.reference.able(demand)
        seats = sum(self.reference.left[name].seats(demand) for name in names)
        for fleet in self.fleets:
            assert min(50, fleet.counts(fleet.intern(demand), 50)[1]) == min(50, seats)

    @staticmethod
    def seat(fleet: Fleet, chosen: Chosen | None) -> Seat | None:
        return chosen and (fleet.ids[chosen.node], chosen.devices)
