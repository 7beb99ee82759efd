"""The agent of one machine: `agents.reconcile` and the agent's rules, on a simulated machine.

Its threads are not simulated: what they decide is, in the order `agents/agent.py` does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agents import reconcile
from agents.known import verdict
from agents.lease import LONGEST_WAIT_MS, lease_times
from agents.reconcile import (
    LEASE_OVER,
    Action,
    AskToStop,
    Forget,
    Kill,
    Local,
    Phase,
    ReportGone,
    Start,
    TellAgain,
    kill_all,
)
from agents.seats import Published, StopRecord
from agents.wire import (
    CheckpointSaved,
    Ended,
    Fact,
    FactResult,
    Lease,
    Order,
    Orders,
    Registered,
    Restored,
    SeatKey,
    Started,
    key_of,
)
from domain.allocation.seat import Outcome
from domain.errors import Conflict, Refusal, StaleWriter, Unavailable
from domain.values.time import MILLISECOND, SECOND
from tests.simulation.cell import CellApi
from tests.simulation.guards import Guard
from tests.simulation.machine import Machine, SeatFiles
from tests.simulation.network import Away, Network

CALL = 5 * SECOND
NEVER = 2**62


@dataclass
class Known:
    """A seat this agent knows."""

    order: Order
    local: Local


class SimulatedAgent:
    """One life of the agent's process; `die` ends it, the machine goes on."""

    def __init__(
        self, machine: Machine, network: Network, cell: CellApi, off: frozenset[Guard]
    ) -> None:
        self._machine, self._network, self._cell, self._off = machine, network, cell, off
        self._loop, self._random, self._disk = machine.loop, machine.random, machine.disk
        self._boot = machine.boot
        self.alive = True
        self._seats: dict[SeatKey, Known] = {}
        self._orders: dict[SeatKey, Order] | None = None
        self._deadlines: dict[SeatKey, int] = {}
        self._facts: list[Fact] = []
        self._saving: set[SeatKey] = set()
        self._sending = False
        self._failures = {"lease": 0, "report": 0}
        self._lease: Lease | None = None
        self._seen = ""
        self._next = 0
        machine.exited = self._exited
        if Guard.RECORD_FIRST in off:
            self._disk.seats.clear()
        for key in sorted(self._disk.seats):
            self._adopt(key, self._disk.seats[key])
        self._keep_lease()
        self._later(0, self.step)

    def die(self) -> None:
        """kill -9."""
        if self._saving:
            self._loop.seen["an agent dies while a stopped job saves"] += 1
        self.alive = False
        self._machine.exited = None

    @property
    def stop_us(self) -> int:
        """When seats must be stopped for the lease, by this machine's clock."""
        boot, stop = self._disk.lease
        return stop if boot == self._boot else 0

    # the lease

    def _keep_lease(self) -> None:
        """`LeaseKeeper.step`."""
        machine, sent, name = self._machine, self._machine.clock(), self._machine.name
        if self._lease is None:
            offer = machine.offer
            self._network.call(
                name,
                lambda reply: self._cell.register(offer, reply),
                lambda answer: self._leased(answer, sent),
                CALL,
            )
            return
        nonce, seen, wait = self._lease.nonce, self._seen, self._wait_ms(self._lease)
        self._network.call(
            name,
            lambda reply: self._cell.lease(name, self._boot, nonce, seen, wait, reply),
            lambda answer: self._leased(answer, sent),
            CALL + wait * MILLISECOND,
        )

    @staticmethod
    def _wait_ms(lease: Lease) -> int:
        return min(LONGEST_WAIT_MS, lease.ttl_ms // 4)

    def _leased(self, answer: Any, sent: int) -> None:
        if not self.alive:
            return
        pause = 0
        match answer:
            case Registered(lease=lease):
                self._lease, self._seen = lease, ""
                self._renewed(sent, lease)
            case Orders(lease=lease, seen=seen):
                self._lease, self._seen = lease, seen
                self._renewed(sent, lease)
                self._take_orders(answer)
            case StaleWriter(code="stale_lease"):
                self._machine.trace.note("its lease is stale", node=self._machine.name)
                self._lease, self._seen = None, ""
                self._disk.lease = (self._boot, 0)
                self._kill_everything()
            case Conflict(code="node_taken"):
                pause = 2 * SECOND
            case _:
                pause = self._pause("lease", 3000)
        if not isinstance(answer, Away | Refusal):
            self._failures["lease"] = 0
        self._later(pause, self._keep_lease)

    def _renewed(self, sent: int, lease: Lease) -> None:
        self._disk.lease = (self._boot, lease_times(sent, lease.ttl_ms)[1])

    def _pause(self, what: str, most_ms: int) -> int:
        self._failures[what] += 1
        pause: int = min(most_ms, 100 << min(self._failures[what], 10)) * MILLISECOND
        return pause

    def _take_orders(self, answer: Orders) -> None:
        received = self._machine.clock()
        self._orders = {order.key: order for order in answer.orders}
        self._deadlines = {
            order.key: received + order.deadline_us - answer.now_us
            for order in answer.orders
            if order.deadline_us is not None
        }
        self.step()

    def _kill_everything(self) -> None:
        for action in kill_all(self._locals(), LEASE_OVER):
            self._act(action)
        self._orders, self._deadlines = None, {}

    # the loop

    def step(self) -> None:
        """Everything there is to do now; then again when something becomes due."""
        if not self.alive:
            return
        now = self._machine.clock()
        stop = NEVER if Guard.OWN_CLOCK in self._off else self.stop_us
        for action in reconcile.reconcile(self._orders, self._locals(), self._deadlines, now, stop):
            self._act(action)
        due = [at for at in (stop, *self._deadlines.values()) if now < at < NEVER]
        if due and self._seats:
            tick = self._random.randrange(250) * MILLISECOND
            self._wake(self._machine.until(min(due)) + tick)

    def _wake(self, when: int) -> None:
        """Step then, unless a step comes before."""
        if self._next <= self._loop.now or when < self._next:
            self._next = when
            self._loop.at(when, lambda: self.step() if self._next == when else None)

    def _locals(self) -> dict[SeatKey, Local]:
        return {key: seat.local for key, seat in self._seats.items()}

    def _later(self, delay: int, action: Any) -> None:
        self._loop.after(delay, lambda: action() if self.alive else None)

    def _act(self, action: Action) -> None:
        match action:
            case Start(order=order):
                self._start(order)
            case AskToStop(key=key):
                seat = self._seats[key]
                self._disk.seats[key].stop = StopRecord("it was asked to stop")
                seat.local = Local(seat.local.phase, asked=True, killed=seat.local.killed)
                if seat.local.phase is Phase.RUNNING:
                    self._machine.signal(key)
            case Kill(key=key, why=why):
                seat = self._seats[key]
                self._disk.seats[key].stop = StopRecord(why, killed=True)
                seat.local = Local(seat.local.phase, seat.local.asked, killed=True)
                self._note(f"kills {key}: {why}", seat)
                if seat.local.phase is Phase.RUNNING:
                    self._machine.kill(key)
            case ReportGone(key=key, outcome=outcome, detail=detail):
                assert self._orders is not None
                order = self._orders[key]
                self._disk.seats[key] = SeatFiles(order, self._boot)
                self._seats[key] = Known(order, Local(Phase.STARTING))
                self._conclude(key, outcome, None, detail)
            case TellAgain(key=key):
                self._tell_again(key)
            case Forget(key=key):
                del self._seats[key], self._disk.seats[key]

    def _tell_again(self, key: SeatKey) -> None:
        if Guard.RETELL in self._off:
            return
        self._loop.seen["an agent tells again what was lost"] += 1
        seat, ended = self._seats[key], self._disk.seats[key].ended
        seat.local = replace(seat.local, told_us=self._machine.clock())
        self._tell(Started(*key, "sandbox") if ended is None else ended)

    def _start(self, order: Order) -> None:
        key = order.key
        self._seats[key] = Known(order, Local(Phase.STARTING))
        self._disk.seats[key] = SeatFiles(order, self._boot)
        self._note(f"starts {key}", self._seats[key])
        slow = order.seat.image is not None or order.seat.restore is not None
        longest = self._random.choice((2000, 2000, 60_000)) if slow else 10
        delay = self._random.randrange(longest) * MILLISECOND
        self._later(delay, lambda: self._launch(key))

    def _launch(self, key: SeatKey) -> None:
        seat = self._seats[key]
        restore = seat.order.seat.restore
        if restore is not None:
            self._tell(Restored(*key, restore.digest))
        stop = NEVER if Guard.OWN_CLOCK in self._off else self.stop_us
        late = reconcile.too_late(self._machine.clock(), stop, seat.local)
        if late is not None:
            self._conclude(key, late[0], None, late[1])
            return
        docker = seat.order.seat.image is not None
        delay = self._random.randrange(1000 if docker else 5) * MILLISECOND
        self._later(delay, lambda: self._run(key))

    def _run(self, key: SeatKey) -> None:
        seat = self._seats[key]
        self._machine.spawn(seat.order)
        self._runs(key)

    def _runs(self, key: SeatKey) -> None:
        seat = self._seats[key]
        local = seat.local
        now = self._machine.clock()
        seat.local = Local(Phase.RUNNING, local.asked, local.killed, told_us=now)
        self._tell(Started(*key, "sandbox"))
        if local.killed:
            self._machine.kill(key)
        elif local.asked:
            self._machine.signal(key)

    def _exited(self, key: SeatKey) -> None:
        seat = self._seats.get(key)
        if not self.alive or seat is None or seat.local.phase is Phase.ENDED:
            return
        files = self._disk.seats[key]
        assert files.result is not None
        result = files.result
        outcome, detail = verdict(result, files.stop)
        seat.local = Local(Phase.ENDED, seat.local.asked, seat.local.killed)
        if seat.order.seat.checkpointing.enabled and outcome is not Outcome.LOST:
            cause = "stop" if outcome is Outcome.STOPPED else "exit"
            delay = self._random.randrange(2000) * MILLISECOND
            if cause == "stop":
                self._loop.seen["a stopped job saves"] += 1
                self._saving.add(key)
                self._machine.saving(self._machine.name)
            self._later(delay, lambda: self._save(key, cause, outcome, result.code, detail))
        else:
            self._conclude(key, outcome, result.code, detail)

    def _save(
        self, key: SeatKey, cause: str, outcome: Outcome, code: int | None, detail: str
    ) -> None:
        self._saving.discard(key)
        digest = f"{self._random.getrandbits(256):064x}"
        saved = CheckpointSaved(*key, cause, digest, 1, 1, 1)
        self._disk.seats[key].published = Published(saved)
        self._tell(saved)
        self._conclude(key, outcome, code, detail)

    def _conclude(self, key: SeatKey, outcome: Outcome, code: int | None, detail: str) -> None:
        fact = Ended(*key, outcome.value, code if code is None else min(code, 255), detail)
        seat = self._seats[key]
        seat.local = Local(Phase.ENDED, seat.local.asked, seat.local.killed)
        self._disk.seats[key].ended = fact
        self._tell(fact)

    # facts

    def _tell(self, fact: Fact) -> None:
        self._facts.append(fact)
        self._later(0, self._report)

    def _report(self) -> None:
        if self._sending or not self._facts:
            return
        self._sending, sent = True, list(self._facts)
        name, boot = self._machine.name, self._boot
        self._network.call(
            name,
            lambda reply: self._cell.report(name, boot, sent, reply),
            lambda answer: self._answered(sent, answer),
            CALL,
        )

    def _answered(self, sent: list[Fact], answer: Any) -> None:
        if not self.alive:
            return
        self._sending = False
        if isinstance(answer, Away | Unavailable):
            self._later(self._pause("report", 5000), self._report)
            return
        if isinstance(answer, Refusal):
            answer = [FactResult("refused", answer.code, answer.detail)] * len(sent)
        self._failures["report"] = 0
        self._facts = self._facts[len(sent) :]
        for fact, result in zip(sent, answer, strict=True):
            self._settle(fact, result)
        self.step()
        self._report()

    def _settle(self, fact: Fact, result: FactResult) -> None:
        seat = self._seats.get(key_of(fact))
        if seat is None:
            return
        if result.status == "refused":
            self._note(f"is refused {type(fact).__name__} of {key_of(fact)}: {result.code}", seat)
        if isinstance(fact, Ended):
            self._disk.seats[key_of(fact)].reported = True
            seat.local = replace(seat.local, reported=True, told_us=self._machine.clock())
        if isinstance(fact, CheckpointSaved):
            self._disk.seats[key_of(fact)].published = Published(fact, reported=True)

    # after the agent was away

    def _adopt(self, key: SeatKey, files: SeatFiles) -> None:
        asked, killed = files.stop is not None, files.stop is not None and files.stop.killed
        seat = self._seats[key] = Known(files.order, Local(Phase.STARTING, asked, killed))
        if files.published is not None and not files.published.reported:
            self._tell(files.published.fact)
        if files.ended is not None:
            seat.local = Local(Phase.ENDED, asked, killed, files.reported)
            if not files.reported:
                self._tell(files.ended)
        elif files.result is not None:
            self._tell(Started(*key, "sandbox"))
            self._exited(key)
        elif key in self._machine.processes:
            seat.local = Local(Phase.RUNNING, asked, killed)
            self._tell(Started(*key, "sandbox"))
        elif not files.spawned:
            del self._seats[key], self._disk.seats[key]
        else:
            self._conclude(key, Outcome.LOST, None, "the agent was away and it is gone")

    def _note(self, text: str, seat: Known) -> None:
        self._machine.trace.note(f"agent {text}", seat.order.job, self._machine.name)
