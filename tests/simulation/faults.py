"""What goes wrong, when: each kind of fault comes at random times until the world is healed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from domain.node import node as nodes
from domain.node.events import NodeEvent
from domain.project.events import Quota, QuotaSet
from domain.values.time import MILLISECOND, SECOND
from infra.store import stream_of
from tests.simulation.network import Weather
from tests.simulation.users import PROJECTS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Faults:
    """Each world has some kinds of fault, each at its own mean distance in seconds."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self.over = False
        self._kinds: dict[str, tuple[Callable[[], None], float]] = {
            "kill a leader": (self._kill_leader, 60),
            "lose a lock": (self._lose_lock, 60),
            "cell away": (self._cell_away, 90),
            "database away": (self._database_away, 120),
            "projector stalls": (self._projector_stalls, 90),
            "partition": (self._partition, 30),
            "agent dies": (self._agent_dies, 30),
            "machine dies": (self._machine_dies, 60),
            "cordon": (self._cordon, 60),
            "quota": (self._quota, 90),
            "burst": (self._burst, 90),
        }

    def begin(self) -> None:
        """Choose the kinds for this world and set the first of each."""
        for name, (act, mean) in self._kinds.items():
            if self._random.random() < 0.7:
                self._again(name, act, mean)
        weather, trouble, chance = self._world.network.weather, self._world.trouble, self._random
        weather.drop = chance.choice((0, 0, 10, 100))
        weather.duplicate = chance.choice((0, 0, 10, 100))
        weather.slow = chance.choice((0, 20, 200))
        weather.slowest_ms = chance.choice((100, 3000, 15_000))
        trouble.crash_before = chance.choice((0, 0, 50, 300))
        trouble.crash_after = chance.choice((0, 0, 50, 300))
        trouble.unknown = chance.choice((0, 0, 50, 300))
        trouble.pause = chance.choice((0, 500, 2000))
        trouble.longest_ms = chance.choice((100, 5000, 40_000))

    def heal(self) -> None:
        """Nothing goes wrong from now on, and everything comes back."""
        self.over = True
        world, trouble = self._world, self._world.trouble
        world.network.heal()
        world.network.weather = Weather()
        trouble.crash_before = trouble.crash_after = trouble.unknown = trouble.pause = 0
        trouble.down_until = 0
        world.projector_until = 0
        for name in sorted(world.machines):
            self._operate(name, "uncordon")
            if not world.machines[name].up:
                world.start_machine(name)
        for project in PROJECTS:
            self._set_quota(project, Quota())

    def _again(self, name: str, act: Callable[[], None], mean: float) -> None:
        delay = int(self._random.expovariate(1 / mean) * SECOND)

        def happen() -> None:
            if not self.over:
                act()
                self._again(name, act, mean)

        self._world.loop.after(delay, happen)

    def _span(self, most_ms: int) -> int:
        return self._random.randrange(100, most_ms) * MILLISECOND

    def _node(self) -> str:
        return self._random.choice(sorted(self._world.machines))

    def _kill_leader(self) -> None:
        self._random.choice(self._world.leaders).crash("from outside", self._span(10_000))

    def _lose_lock(self) -> None:
        for leader in self._world.leaders:
            if leader.leads and self._random.random() < 0.7:
                leader.lose_session()

    def _cell_away(self) -> None:
        span = self._span(30_000)
        self._world.trace.note(f"the API is away for {span / 1e6:.1f} s")
        self._world.network.cell_down_until = self._world.loop.now + span

    def _database_away(self) -> None:
        span = self._span(15_000)
        self._world.trace.note(f"the database is away for {span / 1e6:.1f} s")
        self._world.trouble.down_until = self._world.loop.now + span

    def _projector_stalls(self) -> None:
        span = self._span(20_000)
        self._world.trace.note(f"the projector stands still for {span / 1e6:.1f} s")
        self._world.projector_until = self._world.loop.now + span

    def _partition(self) -> None:
        node, until = self._node(), self._world.loop.now + self._span(50_000)
        way = self._random.choice(("both ways", "both ways", "to the cell", "from the cell"))
        self._world.trace.note(f"is cut off {way} until {until / 1e6:.1f}", node=node)
        if way != "from the cell":
            self._world.network.block(node, "cell", until)
        if way != "to the cell":
            self._world.network.block("cell", node, until)

    def _agent_dies(self) -> None:
        self._world.kill_agent(self._node(), self._span(15_000))

    def _machine_dies(self) -> None:
        name = self._node()
        if self._world.machines[name].up:
            self._world.stop_machine(name, self._random.random() < 0.2, self._span(90_000))

    def _cordon(self) -> None:
        self._operate(self._node(), self._random.choice(("cordon", "drain", "uncordon")))

    def _operate(self, node: str, what: str) -> None:
        def decide(state: nodes.Node) -> list[NodeEvent]:
            if what == "uncordon":
                return nodes.uncordon(state) if state.cordoned else []
            drain = what == "drain"
            known = state.cordoned and state.draining == drain
            return [] if known else nodes.cordon(state, "works", drain)

        self._world.operate(node, decide)

    def _quota(self) -> None:
        gpus = self._random.choice((None, 1000, 3000))
        self._set_quota(self._random.choice(PROJECTS), Quota(gpu_milli=gpus))

    def _set_quota(self, project: str, quota: Quota) -> None:
        self._world.record(stream_of("project", project), QuotaSet(quota))

    def _burst(self) -> None:
        for _ in range(self._random.randrange(2, 8)):
            self._world.users.submit()
