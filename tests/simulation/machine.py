"""A node's machine: its boot, clock, disk and the processes that run on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from agents.runner import Result
from agents.seats import Published, StopRecord
from agents.wire import Ended, Order, SeatKey
from domain.node.events import Registered
from domain.values.time import MILLISECOND
from tests.simulation.loop import Loop, Trace


@dataclass(frozen=True)
class Behaviour:
    """What a job does: runs so long, then exits; on SIGTERM it saves and leaves, or does not."""

    run_us: int
    codes: tuple[int, ...] = (0,)
    heeds_stop: bool = True
    saves: bool = False
    out_of_memory: bool = False

    def code(self, attempt: int) -> int:
        """The exit code of an attempt: the last one stands for all later."""
        return self.codes[min(attempt, len(self.codes)) - 1]


@dataclass
class SeatFiles:
    """A seat's folder."""

    order: Order
    boot: str
    spawned: bool = False
    result: Result | None = None
    stop: StopRecord | None = None
    ended: Ended | None = None
    published: Published | None = None
    reported: bool = False


@dataclass
class Disk:
    """What outlives the agent, and a restart of the machine."""

    seats: dict[SeatKey, SeatFiles] = field(default_factory=dict)
    lease: tuple[str, int] = ("", 0)


@dataclass
class Process:
    """One seat's process, alive until it ends."""

    order: Order
    machine: str
    began: int
    alive: bool = True

    @property
    def key(self) -> SeatKey:
        return self.order.key


class Machine:
    """Runs processes. `exited` is the agent's ear, None while no agent runs."""

    def __init__(
        self,
        offer: Registered,
        loop: Loop,
        trace: Trace,
        random: Random,
        behaviour: Callable[[str], Behaviour],
        began: Callable[[Machine, Process], None],
        drift_ppm: int,
    ) -> None:
        self._offer = offer
        self.name = str(offer.node)
        self.loop, self.trace, self.random = loop, trace, random
        self._behaviour, self._began = behaviour, began
        self._rate = 1_000_000 + drift_ppm
        self.disk = Disk()
        self.processes: dict[SeatKey, Process] = {}
        self.exited: Callable[[SeatKey], None] | None = None
        self.up = False
        self.boots = 0
        self.broken: set[str] = set()
        self.saving: Callable[[str], None] = lambda _: None
        """Told this machine's name when a job that was stopped begins its last save."""
        self._booted = 0

    @property
    def boot(self) -> str:
        return f"boot-{self.name}-{self.boots}"

    @property
    def offer(self) -> Registered:
        """What this boot offers: all but the GPUs that broke."""
        offer = self._offer
        devices = tuple(d for d in offer.devices if d.id not in self.broken)
        capacity = replace(offer.capacity, gpu_milli=1000 * len(devices))
        return replace(offer, boot=self.boot, capacity=capacity, devices=devices)

    def clock(self) -> int:
        """Microseconds since boot, by a clock that is a little fast or slow."""
        return (self.loop.now - self._booted) * self._rate // 1_000_000

    def until(self, local_us: int) -> int:
        """The time at which this machine's clock shows at least that."""
        return self._booted + -(-local_us * 1_000_000 // self._rate)

    def start(self) -> None:
        """Power on."""
        assert not self.up, "a machine that is up is not started"
        self.up, self._booted = True, self.loop.now
        self.boots += 1
        self.trace.note(f"starts as {self.boot}", node=self.name)

    def crash(self, wipe: bool) -> None:
        """Power off: every process is gone; the disk stays, unless it is wiped."""
        assert self.up, "a machine that is down does not crash"
        self.trace.note("loses power" + (", its disk too" if wipe else ""), node=self.name)
        self.up, self.exited = False, None
        for process in self.processes.values():
            process.alive = False
        self.processes.clear()
        if wipe:
            self.disk = Disk()

    def break_gpu(self, number: int) -> None:
        """A GPU fails, and with it whatever uses it."""
        device = str(self._offer.devices[number % len(self._offer.devices)].id)
        self.broken.add(device)
        self.trace.note(f"{device} breaks", node=self.name)
        for process in list(self.processes.values()):
            if any(held.partition("/")[0] == device for held in process.order.seat.devices):
                self.loop.seen["a GPU breaks under a job"] += 1
                self._end(process, Result(1))

    def spawn(self, order: Order) -> None:
        """Begin a seat's process."""
        self.disk.seats[order.key].spawned = True
        process = Process(order, self.name, self.loop.now)
        self._began(self, process)
        self.processes[order.key] = process
        self.trace.note(f"runs {order.key}", order.job, self.name)
        behaviour = self._behaviour(order.job)
        code = behaviour.code(order.attempt)
        result = Result(code, behaviour.out_of_memory and code != 0)
        self._end_after(process, behaviour.run_us, result)

    def signal(self, key: SeatKey) -> None:
        """SIGTERM: the job may save and leave."""
        process = self.processes.get(key)
        if process is not None and self._behaviour(process.order.job).heeds_stop:
            self._end_after(process, self.random.randrange(10, 4000) * MILLISECOND, Result(143))

    def kill(self, key: SeatKey) -> None:
        """SIGKILL: gone in a moment, or in up to 1.5 seconds where the kernel is busy."""
        process = self.processes.get(key)
        if process is not None:
            slow = self.random.random() < 0.3
            delay = self.random.randrange(1500 if slow else 20) * MILLISECOND
            self._end_after(process, delay, Result(137))

    def _end_after(self, process: Process, delay: int, result: Result) -> None:
        self.loop.after(delay, lambda: self._end(process, result))

    def _end(self, process: Process, result: Result) -> None:
        if not process.alive:
            return
        process.alive = False
        del self.processes[process.key]
        files = self.disk.seats.get(process.key)
        if files is not None:
            files.result = result
        self.trace.note(f"{process.key} ends: {result.code}", process.order.job, self.name)
        if self.exited is not None:
            self.exited(process.key)
