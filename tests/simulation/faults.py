"""What goes wrong, when: each kind of fault comes at random times until the world is healed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from domain.event import Recorded
from domain.node import node as nodes
from domain.node.events import Lost, NodeEvent, Registered
from domain.project.events import Quota, QuotaSet
from domain.values.time import SECOND
from infra.store import stream_of
from tests.simulation import outages
from tests.simulation.moments import NAMES, Moments
from tests.simulation.outages import span
from tests.simulation.plan import Plan
from tests.simulation.users import PROJECTS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Faults:
    """Each world has some kinds of fault, each at its own mean distance in seconds."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan
        self.over = False
        self._counts: dict[str, int] = {}
        self._kinds: dict[str, tuple[Callable[[Random], None], float]] = {
            "leader-killed": (self._kill_leader, 60),
            "lock-lost": (self._lose_lock, 60),
            "cell-away": (self._cell_away, 90),
            "database-away": (partial(outages.away, world), 120),
            "slow-disk": (partial(outages.slow, world), 150),
            "poison": (partial(outages.poison, world), 200),
            "clock-steps": (partial(outages.clock_steps, world), 200),
            "failover-in-step": (partial(outages.fail_over_in_step, world), 300),
            "failover-behind": (partial(outages.fail_over_behind, world), 250),
            "flap": (lambda random: outages.flap(world, random, self._node(random)), 120),
            "gpu-breaks": (
                lambda random: outages.gpu_breaks(world, random, self._node(random)),
                90,
            ),
            "projector-stalls": (self._projector_stalls, 90),
            "partition": (self._partition, 30),
            "agent-killed": (self._agent_dies, 30),
            "machine-dies": (self._machine_dies, 60),
            "cordon": (self._cordon, 60),
            "quota": (self._quota, 90),
            "reprioritize": (lambda random: world.users.reprioritize(random), 60),
            "burst": (self._burst, 200),
        }
        if world.streaming is not None:
            self._kinds |= {
                "kafka-away": (partial(outages.kafka_away, world), 120),
                "relay-stalls": (partial(outages.relay_stalls, world), 150),
                "topic-lost": (partial(outages.topic_lost, world), 250),
                "topic-cut": (partial(outages.topic_cut, world), 200),
                "offset-jumps": (partial(outages.offset_jumps, world), 80),
            }
        self._chosen: dict[str, bool] = {}
        self._moments = Moments(world, self._bad_luck, self._operate)

    def begin(self) -> None:
        """Choose the kinds for this world and set the first of each."""
        for name, (act, mean) in self._kinds.items():
            random = self._plan.random(name)
            if random.random() < 0.7:
                self._again(name, act, mean, random)
        for name in ("lag-at-node", "stuck-registration", "save-interrupted", *NAMES):
            self._chosen[name] = self._plan.random(name).random() < 0.7
        self._choose(self._world.network.weather, _WEATHER)
        self._choose(self._world.trouble, _TROUBLE)
        if self._world.streaming is not None:
            self._choose(self._world.streaming.rough, _ROUGH)

    def _choose(self, target: object, choices: dict[str, tuple[int, ...]]) -> None:
        for name, values in choices.items():
            value = self._plan.random(name).choice(values)
            if value != values[0] and self._plan.has(name):
                setattr(target, name, value)

    def recorded(self, batch: Sequence[Recorded]) -> None:
        """Something happened; read models like to lag when a node comes or goes."""
        self._moments.recorded(batch)
        for item in batch:
            if isinstance(item.event, Registered | Lost):
                random = self._bad_luck("lag-at-node")
                if random is not None:
                    self._projector_stalls(random)

    def registering(self, node: str) -> None:
        """An agent's registration has its lease; what follows may take long, and the node go."""
        random = self._bad_luck("stuck-registration")
        if random is not None:
            if self._world.machines[node].up:
                self._world.stop_machine(node, wipe=False, span=span(random, 30_000))
            self._world.trace.note("the API stands still while it registers", node=node)
            self._world.loop.pause(span(random, 60_000))

    def saving(self, node: str) -> None:
        """A stopped job saves; its agent, or the whole machine, may die before it has."""
        random = self._bad_luck("save-interrupted")
        if random is not None:
            power, length = random.random() < 0.3, span(random, 10_000)
            act = partial(self._world.stop_machine, node, False, length)
            if not power:
                act = partial(self._world.kill_agent, node, length)
            self._world.loop.after(0, lambda: act() if self._world.machines[node].up else None)

    def _bad_luck(self, name: str, chance: float = 0.15) -> Random | None:
        """Now and then, the random numbers of a fault that goes with what is happening."""
        if self.over or not self._chosen.get(name):
            return None
        once = self._count(name)
        random = self._plan.random(once)
        return random if random.random() < chance and self._plan.has(once) else None

    def heal(self) -> None:
        """Nothing goes wrong from now on, and everything comes back."""
        self.over = True
        world = self._world
        world.network.heal()
        world.trouble.end()
        if world.streaming is not None:
            world.streaming.rough.end()
        outages.mend(world)
        world.projector_until = 0
        for name in sorted(world.machines):
            if not world.machines[name].up:
                world.start_machine(name)
        for project in PROJECTS:
            self._set_quota(project, Quota())

    def uncordon_all(self) -> None:
        """Every node takes work again."""
        for name in sorted(self._world.machines):
            self._operate(name, "uncordon")

    def _again(self, name: str, act: Callable[[Random], None], mean: float, delays: Random) -> None:
        delay = int(delays.expovariate(1 / mean) * SECOND)

        def happen() -> None:
            if self.over:
                return
            once = self._count(name)
            if self._plan.has(once):
                act(self._plan.random(once))
            self._again(name, act, mean, delays)

        self._world.loop.after(delay, happen)

    def _count(self, name: str) -> str:
        """The name of the next fault of this kind."""
        self._counts[name] = self._counts.get(name, 0) + 1
        return f"{name}#{self._counts[name]}"

    def _node(self, random: Random) -> str:
        return random.choice(sorted(self._world.machines))

    def _kill_leader(self, random: Random) -> None:
        random.choice(self._world.leaders).crash("from outside", span(random, 10_000))

    def _lose_lock(self, random: Random) -> None:
        for leader in self._world.leaders:
            if leader.leads and random.random() < 0.7:
                leader.lose_session()

    def _cell_away(self, random: Random) -> None:
        length = span(random, 30_000)
        self._world.trace.note(f"the API is away for {length / 1e6:.1f} s")
        self._world.network.cell_down_until = self._world.loop.now + length

    def _projector_stalls(self, random: Random) -> None:
        outages.projector_stalls(self._world, span(random, 20_000))

    def _partition(self, random: Random) -> None:
        node, until = self._node(random), self._world.loop.now + span(random, 50_000)
        way = random.choice(("both ways", "both ways", "to the cell", "from the cell"))
        self._world.trace.note(f"is cut off {way} until {until / 1e6:.1f}", node=node)
        if way != "from the cell":
            self._world.network.block(node, "cell", until)
        if way != "to the cell":
            self._world.network.block("cell", node, until)

    def _agent_dies(self, random: Random) -> None:
        self._world.kill_agent(self._node(random), span(random, 15_000))

    def _machine_dies(self, random: Random) -> None:
        name = self._node(random)
        if self._world.machines[name].up:
            self._world.stop_machine(name, random.random() < 0.2, span(random, 90_000))

    def _cordon(self, random: Random) -> None:
        self._operate(self._node(random), random.choice(("cordon", "drain", "uncordon")))

    def _operate(self, node: str, what: str) -> None:
        def decide(state: nodes.Node) -> list[NodeEvent]:
            if what == "uncordon":
                return nodes.uncordon(state) if state.cordoned else []
            drain = what == "drain"
            known = state.cordoned and state.draining == drain
            return [] if known else nodes.cordon(state, "works", drain)

        self._world.operate(node, decide)

    def _quota(self, random: Random) -> None:
        gpus = random.choice((None, 1000, 3000))
        self._set_quota(random.choice(PROJECTS), Quota(gpu_milli=gpus))

    def _burst(self, random: Random) -> None:
        first = 100 * self._counts["burst"]
        for number in range(first, first + random.randrange(2, 8)):
            self._world.users.submit(number)

    def _set_quota(self, project: str, quota: Quota) -> None:
        self._world.record(stream_of("project", project), QuotaSet(quota))


_WEATHER: dict[str, tuple[int, ...]] = {
    "drop": (0, 0, 10, 100),
    "duplicate": (0, 0, 10, 100),
    "slow": (0, 20, 200),
    "slowest_ms": (100, 3000, 15_000),
}
_TROUBLE: dict[str, tuple[int, ...]] = {
    "crash_before": (0, 0, 50, 300),
    "crash_after": (0, 0, 50, 300),
    "unknown": (0, 0, 50, 300),
    "pause": (0, 500, 2000),
    "longest_ms": (100, 5000, 40_000),
}
_ROUGH: dict[str, tuple[int, ...]] = {
    "killed_before": (0, 0, 100, 500),
    "killed_after": (0, 0, 100, 500),
    "unheard": (0, 0, 100, 1000),
    "torn": (0, 0, 300, 2000),
}
"""Fields of `Weather`, `Trouble` and `Rough`, each a fault of its own; a good day's value first."""
