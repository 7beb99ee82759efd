"""One simulated cell from a seed: faults for a while, then healing, then everything must end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from domain.errors import Refusal
from domain.event import Event, Meta, StreamId
from domain.job.transitions import ENDED
from domain.node import node as nodes
from domain.policy.events import SchedulerSet, SchedulerSettings
from domain.project.events import Created
from domain.scheduling.snapshot import Snapshot
from domain.values.time import MILLISECOND, SECOND
from infra.codec import UnknownEvent
from infra.recorder import Epoch
from infra.store import Change, stream_of
from processors import relay, scheduler, timers
from processors.stream import EventStream
from tests.simulation.administrators import Administrators, begins_at, has
from tests.simulation.agent import SimulatedAgent
from tests.simulation.cell import CellApi
from tests.simulation.control import (
    RETRY,
    Leader,
    MemoryWard,
    MemoryWatch,
    drawn_pace,
    keep_time,
    schedule,
)
from tests.simulation.database import Database, Trouble
from tests.simulation.faults import Faults
from tests.simulation.fleet import offers
from tests.simulation.folds import check_folds, check_receipts
from tests.simulation.guards import Guard, without
from tests.simulation.invariants import Checker, Violation
from tests.simulation.law_of_order import check_standing
from tests.simulation.leases import MemoryLeases
from tests.simulation.log import MemoryLog
from tests.simulation.loop import Loop, Trace
from tests.simulation.machine import Machine
from tests.simulation.network import Network, Weather
from tests.simulation.plan import Plan
from tests.simulation.streaming import Streaming
from tests.simulation.users import PROJECTS, Users
from tests.simulation.views import LiveViews

HEAL = 400 * SECOND
END = 600 * SECOND
LAST = 3000 * SECOND
STREAMING = 0.18
"""The part of the worlds that have Kafka; each takes half as long again."""
UNREST = 60 * SECOND
"""So long after the healing what went wrong before may still show."""


@dataclass(frozen=True)
class Outcome:
    """How a world went: `checksum` is of its whole trace and log, `happened`
    names what was planned and came about, `seen` what went wrong."""

    seed: int
    events: int
    simulated_us: int
    jobs: int
    checksum: str
    happened: tuple[str, ...]
    violation: Violation | None = None
    seen: tuple[str, ...] = ()


class World:
    """A cell, its nodes and its users."""

    def __init__(
        self, seed: int, off: frozenset[Guard] = frozenset(), only: Collection[str] | None = None
    ) -> None:
        self.seed = seed
        self.plan = Plan(seed, only)
        self.loop = Loop()
        self.trace = Trace(self.loop)
        self._random = Random(f"world {seed}")
        self._off = off
        self.clock_step = 0
        self.failing = False
        self.epoch = begins_at(self.plan)
        self.log = MemoryLog(lambda: self.epoch + self.loop.now + self.clock_step, off)
        self.log.seen = self.loop.seen
        self.checker = Checker(self.trace, self.log.epochs)
        self.network = Network(self.loop, lambda node: self._fork(f"network {node}"), Weather())
        self.trouble = Trouble()
        self.projector_until = 0
        self._projecting = False
        self.leases = MemoryLeases(self.log.now, off)
        self.log.holds = self.leases.holds
        chosen = self.plan.random("relay").random() < STREAMING and self.plan.has("relay")
        self.streaming = Streaming(self, self.plan) if chosen else None
        self._topical = self.streaming.follows if self.streaming else frozenset[str]()
        self.views = LiveViews(
            self._follow("projector", self.log), lambda concerned: self.cell.changed(concerned)
        )
        api = (self.log, self.loop, self._fork("api"), self.trouble, lambda: True, self._api_killed)
        database = Database(*api, outlives=False)
        self.cell = CellApi(database, self.leases, self.views, self.loop, self._fork("cell"), off)
        self.log.taken = self.checker.took
        self.log.noted = self.checker.noted
        if self.streaming is not None:
            self.log.observers.append(self.streaming.recorded)
        self.log.observers.append(self.checker.recorded)
        self.log.observers.append(lambda *_: self._ring())
        self.ward = MemoryWard(self.loop.seen)
        self.leaders = self._make_leaders()
        self.machines = self._make_machines()
        self.checker.machines = self.machines
        self.agents: dict[str, SimulatedAgent] = {}
        self.users = Users(
            self.loop,
            self._fork("users"),
            self.network,
            self.cell,
            self.checker,
            len(self.machines),
            self.plan,
        )
        self.users.sliced, self.users.foresighted = self._sliced, has(self.plan, "budget")
        self.users.inheriting = has(self.plan, "inheritance")
        self.administrators = Administrators(self, self.plan)
        self.faults = Faults(self, self.plan)
        self.log.observers.append(lambda batch, *_: self.faults.recorded(batch))
        self.cell.registering = self.faults.registering
        for machine in self.machines.values():
            machine.saving = self.faults.saving

    def _fork(self, name: str) -> Random:
        return Random(f"{name} {self.seed}")

    def _make_leaders(self) -> list[Leader]:
        locks: dict[str, tuple[str, int]] = {}
        found = []
        watch, follow = MemoryWatch(self.views, self.leases), partial(self._follow, "scheduler")
        pace = drawn_pace(self.plan)
        roles = [
            (scheduler.ROLE, schedule(self.ward, self._looked, follow, pace)),
            (timers.ROLE, keep_time(watch, self.loop, self._off)),
        ]
        if self.streaming is not None:
            roles.append((relay.ROLE, self.streaming.relay))
        for role, begin in roles:
            for number in (1, 2):
                name = f"{role}-{number}"
                found.append(
                    Leader(
                        name,
                        role,
                        begin,
                        self.log,
                        self.loop,
                        self.trace,
                        self._fork(name),
                        self.trouble,
                        locks,
                    )
                )
        return found

    def _follow(self, name: str, log: Database | MemoryLog) -> EventStream:
        """How a process reads the log."""
        if self.streaming is None or name not in self._topical:
            return log
        return self.streaming.reader(name, log)

    def _make_machines(self) -> dict[str, Machine]:
        random, slicing = self._fork("machines"), self.plan.random("mig")
        self._sliced = slicing.random() < 0.3 and self.plan.has("mig")
        found = {}
        for offer in offers(random, slicing if self._sliced else None):
            name = str(offer.node)
            found[name] = Machine(
                offer,
                self.loop,
                self.trace,
                self._fork(name),
                lambda job: self.users.behaviour(job),
                self.checker.began,
                random.randrange(-20_000, 20_000),
            )
        return found

    # what people, machines and faults do

    def start_machine(self, name: str) -> None:
        """Power on, and its agent."""
        self.machines[name].start()
        self._start_agent(name)

    def stop_machine(self, name: str, wipe: bool, span: int) -> None:
        """Power off for a while."""
        machine = self.machines[name]
        if name in self.agents:
            self.agents.pop(name).die()
        machine.crash(wipe)
        self.loop.after(span, lambda: None if machine.up else self.start_machine(name))

    def kill_agent(self, name: str, span: int) -> None:
        """kill -9 of an agent, which is started again before its lease makes it too late."""
        machine, agent = self.machines[name], self.agents.pop(name, None)
        if agent is None:
            return
        left = machine.until(agent.stop_us) - self.loop.now
        span = max(0, min(span, left)) if machine.processes else span
        self.trace.note(f"the agent is killed, back in {span / 1e6:.1f} s", node=name)
        agent.die()
        boot = machine.boot

        def again() -> None:
            if machine.up and machine.boot == boot and name not in self.agents:
                self._start_agent(name)

        self.loop.after(span, again)

    def _start_agent(self, name: str) -> None:
        self.agents[name] = SimulatedAgent(self.machines[name], self.network, self.cell, self._off)

    def operate(self, node: str, decide: Callable[[nodes.Node], Sequence[Event]]) -> None:
        """An operator's command, sent once."""
        self.network.call(
            "user", lambda reply: self.cell.operate(node, decide, reply), lambda _: None, SECOND
        )

    def record(self, stream: StreamId, event: Event) -> None:
        """An administrator's decision, recorded at once."""
        version = len(self.log.stream(stream))
        self.log.append([Change(stream, version, [event], Meta("admin", "command:admin", "admin"))])

    def _looked(self, snapshot: Snapshot) -> None:
        """A scheduler is done with a cycle."""
        check_standing(snapshot, self.checker.fail)

    def _api_killed(self, when: str) -> None:
        self.trace.note(f"an API process is killed {when}")

    def streamed(self) -> None:
        """A record came to the topic."""
        self._wake(lambda name: name in self._topical)

    def cut_off(self, epoch: Epoch) -> None:
        """A leader was silent for so long that its lock is taken from it."""
        for leader in self.leaders:
            if leader.role == epoch.role and self.log.epochs[epoch.role] == epoch.number:
                leader.lose_session()

    def _ring(self) -> None:
        self._wake(lambda name: name not in self._topical)

    def _wake(self, concerned: Callable[[str], bool]) -> None:
        for leader in self.leaders:
            if concerned(leader.role):
                leader.wake()
        if concerned("projector"):
            self._project_later()

    def _project_later(self) -> None:
        if self._projecting:
            return
        self._projecting = True
        delay = self._random.randrange(1, 40) * MILLISECOND
        self.loop.at(max(self.loop.now + delay, self.projector_until), self._project)

    def _project(self) -> None:
        self._projecting = False
        if self.loop.now < self.projector_until:
            self._project_later()
            return
        try:
            self.views.step()
        except (Refusal, UnknownEvent):
            self.loop.after(RETRY, self._project_later)
        else:
            for leader in self.leaders:
                leader.wake()
            if "projector" in self._topical and self.views.position != self.log.head():
                self.loop.after(SECOND, self._project_later)

    # a run

    def run(self) -> Outcome:
        """Faults until `HEAL`, then to `END`; whatever has not ended by `LAST` never will."""
        violation = None
        try:
            with without(self._off):
                self._begin()
                self.loop.run(HEAL)
                self.trace.note("healed")
                self.faults.heal()
                self.administrators.heal()
                self._sweep()
                self.loop.run(END)
                while not self._all_ended() and self.loop.now < LAST:
                    self.loop.run(self.loop.now + 10 * SECOND)
                self._check_end()
        except Violation as found:
            violation = found
        return Outcome(
            self.seed,
            self.loop.events,
            self.loop.now,
            len(self.checker.jobs),
            self._checksum(),
            tuple(self.plan.done),
            violation,
            tuple(sorted(+self.loop.seen)),
        )

    def _begin(self) -> None:
        settings = SchedulerSettings(grace_seconds=self._random.choice((2, 5, 15)))
        self.record(stream_of("policy", "cell"), SchedulerSet(settings))
        for project in PROJECTS:
            self.record(stream_of("project", project), Created(project, ""))
        for leader in self.leaders:
            leader.start(self._random.randrange(SECOND))
        for name in sorted(self.machines):
            self.loop.after(self._random.randrange(5 * SECOND), partial(self._power_on, name))
        for number in range(1, self._random.randrange(6, 13)):
            self.loop.at(self._random.randrange(HEAL), partial(self.users.submit, number))
        for number in range(1, self._random.randrange(1, 13)):
            self.loop.at(self._random.randrange(HEAL), partial(self.users.control, number))
        self.faults.begin()
        self.administrators.begin(HEAL)
        self._look()

    def _power_on(self, name: str) -> None:
        if not self.machines[name].up:
            self.start_machine(name)

    def _sweep(self) -> None:
        """After healing, what waits for a person is released now and then."""
        self.faults.uncordon_all()
        self.users.release_all()
        if self.loop.now < LAST:
            self.loop.after(15 * SECOND, self._sweep)

    def _look(self) -> None:
        """What runs may run there and then; with faults that is true once they are over."""
        slack = 5 * SECOND
        if not self.plan.calm:
            slack = UNREST if self.loop.now > HEAL + UNREST else LAST
        self.checker.clear(self.log.now(), slack)
        if self.loop.now < LAST:
            self.loop.after(5 * SECOND, self._look)

    def _all_ended(self) -> bool:
        ended = all(job.phase in ENDED for job in self.checker.jobs.values())
        running = any(machine.processes for machine in self.machines.values())
        streamed = self.streaming is None or self.streaming.settled()
        return ended and not running and not self.users.unanswered and streamed

    def _check_end(self) -> None:
        checker = self.checker
        if self.users.unanswered:
            checker.fail("I2", f"never answered: {sorted(self.users.unanswered)}")
        for name, job in sorted(checker.jobs.items()):
            if job.phase not in ENDED:
                checker.fail("I2", f"{name} is {job.phase} for ever ({job.waiting})", name)
        for machine in self.machines.values():
            for process in machine.processes.values():
                checker.fail(
                    "I2", f"{process.key} runs for ever", process.order.job, {machine.name}
                )
        for name, allocation in checker.allocations.items():
            if not allocation.released:
                checker.fail("I2", f"{name} is held for ever", allocation.job)
        if self.streaming is not None:
            self.streaming.check_end()
        check_folds(self)
        if not self._off:
            check_receipts(self)

    def _checksum(self) -> str:
        log = hashlib.sha256(f"{self.trace.checksum} {self.loop.events}".encode())
        for item in self.log.read(0, 10**9):
            log.update(f"{item}".encode())
        if self.streaming is not None:
            log.update(f"{self.streaming.positions()}".encode())
        return log.hexdigest()[:16]


def run(
    seed: int, off: frozenset[Guard] = frozenset(), only: Collection[str] | None = None
) -> Outcome:
    """The world of a seed, from beginning to end, or `only` some of it (`Plan`)."""
    return World(seed, off, only).run()
