"""The cell's processes: leaders that take over from each other, and the projector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random

from domain.errors import Refusal
from domain.node.flapping import Others
from domain.scheduling.snapshot import Snapshot
from domain.values.time import MILLISECOND, SECOND
from infra.codec import Poison, UnknownEvent
from infra.leases import MARGIN_MS
from infra.recorder import Epoch
from processors import timers
from processors.__main__ import RETRY_SECONDS
from processors.scheduler import Scheduler
from processors.stream import EventStream
from processors.timers import Timers
from projections.jobs import Due
from tests.simulation.cell import TTL_MS
from tests.simulation.database import Database, Trouble
from tests.simulation.guards import Guard
from tests.simulation.leases import MemoryLeases
from tests.simulation.log import MemoryLog
from tests.simulation.loop import Crashed, Loop, Trace
from tests.simulation.plan import Plan
from tests.simulation.views import LiveViews

RETRY = int(RETRY_SECONDS * SECOND)
TICK = int(timers.TICK_SECONDS * SECOND)
LONGEST_IDLE = 5 * SECOND
LEASE = (TTL_MS + MARGIN_MS) * MILLISECOND
Work = Callable[[], int]
"""One round of a process; returns the microseconds until the next, unless it is woken."""


class Leader:
    """One of the processes that would lead a role; `locks` are the roles held, by whom."""

    def __init__(
        self,
        name: str,
        role: str,
        begin: Callable[[Database, Epoch], Work],
        log: MemoryLog,
        loop: Loop,
        trace: Trace,
        random: Random,
        trouble: Trouble,
        locks: dict[str, tuple[str, int]],
    ) -> None:
        self.name, self.role = name, role
        self._begin, self._log, self._loop, self._trace = begin, log, loop, trace
        self._random, self._trouble, self._locks = random, trouble, locks
        self._life = self._known_failovers = 0
        self._busy = False
        self._armed: tuple[int, int] | None = None
        self._work: Work | None = None

    @property
    def leads(self) -> bool:
        return self._locks.get(self.role) == (self.name, self._life)

    def start(self, after: int = 0) -> None:
        """Begin a new life and ask for the role."""
        self._life += 1
        self._work, self._busy, life = None, False, self._life
        self._loop.after(after, lambda: self._ask(life))

    def crash(self, when: str, down: int) -> None:
        """kill -9: its lock is given back when its connection is found dead."""
        self._trace.note(f"{self.name} is killed {when}, comes back in {down / 1e6:.1f} s")
        life, delay = self._life, self._random.choice((0, 0, 2 * SECOND))
        self._loop.after(delay, lambda: self._release(life))
        self.start(down)

    def lose_session(self) -> None:
        """Its lock is lost, but it goes on and does not know."""
        if self.leads:
            self._trace.note(f"{self.name} loses its lock and goes on")
            self._release(self._life)

    def wake(self) -> None:
        """The log rang."""
        if self._work is not None and not self._busy:
            self._arm(self._random.randrange(1, 20) * MILLISECOND)

    def _release(self, life: int) -> None:
        if self._locks.get(self.role) == (self.name, life):
            del self._locks[self.role]

    def _ask(self, life: int) -> None:
        if life != self._life:
            return
        if self.role in self._locks:
            self._loop.after(RETRY, lambda: self._ask(life))
            return
        self._locks[self.role] = (self.name, life)
        database = Database(
            self._log,
            self._loop,
            self._random,
            self._trouble,
            lambda: life == self._life,
            lambda when: self.crash(when, self._random.randrange(200, 8000) * MILLISECOND),
        )
        try:
            epoch = database.take_role(self.role, self.name)
        except Refusal:
            self._release(life)
            self._loop.after(RETRY, lambda: self._ask(life))
            return
        self._trace.note(f"{self.name} leads, epoch {epoch.number}")
        self._known_failovers = self._log.failovers
        self._work = self._begin(database, epoch)
        self._arm(0)

    def _arm(self, delay: int) -> None:
        when, life = self._loop.now + delay, self._life
        if self._armed is not None and self._armed[1] == life and self._armed[0] <= when:
            return
        self._armed = token = (when, life)
        self._loop.at(when, lambda: self._step(token))

    def _step(self, token: tuple[int, int]) -> None:
        if token != self._armed or token[1] != self._life or self._busy or self._work is None:
            return
        self._armed, self._busy, life = None, True, self._life
        try:
            pause = self._work()
        except Crashed:
            return
        except (Refusal, UnknownEvent) as refusal:
            self._fail(life, str(refusal))
            return
        except Exception as error:
            if self._log.failovers == self._known_failovers:
                raise  # a real fault: only after a failover a process may know what is not so
            self._fail(life, f"{error!r}")
            return
        if life == self._life:
            self._busy = False
            self._arm(pause)

    def _fail(self, life: int, why: str) -> None:
        """As `processors.__main__.supervise`: it is told, and started anew."""
        if life == self._life:
            self._trace.note(f"{self.name} gives up: {why}")
            self._release(life)
            self.start(RETRY)


@dataclass(frozen=True)
class MemoryWatch:
    """The port `Watch` on what the simulated cell keeps."""

    views: LiveViews
    leases: MemoryLeases

    def due(self, now: int) -> Due:
        return self.views.due(now)

    def grace_seconds(self) -> int:
        return self.views.grace_seconds()

    def expire_leases(self) -> list[tuple[str, str]]:
        return self.leases.expire()

    def settle_lease(self, node: str, session: str) -> None:
        self.leases.settle(node, session)

    def cordons_over(self, now: int) -> list[str]:
        return self.views.cordons_over(now)

    def others(self, node: str) -> Others:
        return self.views.others(node)

    def held_back(self, found: Sequence[Poison]) -> None:
        """Told; it is mended by itself in a while."""

    def idle(self, now: int) -> int:
        """How long every tick would find nothing: at least one tick, at most `LONGEST_IDLE`."""
        due, uncordon = self.views.next_due(), self.views.next_uncordon()
        moments = (due, uncordon, self.leases.next_end(), now + LONGEST_IDLE)
        left = min(at for at in moments if at is not None) - now
        return max(TICK, -(-left // TICK) * TICK)


@dataclass
class MemoryWard:
    """The port `Quarantine`; somebody asks for another try as soon as the code is mended."""

    seen: Counter[str]
    asked: bool = False

    def enter(self, bad: Poison, *, stops: bool = False) -> None:  # noqa: ARG002 - the port
        """Counted only."""
        self.seen["a scheduler stands still" if stops else "a stream is held back"] += 1

    def keep_only(self, streams: Collection[str]) -> None:  # noqa: ARG002 - the port
        """The reading came to the end."""
        self.asked = False

    def retry_asked(self) -> bool:
        return self.asked


@dataclass
class DrawnPace:
    """So little time for a cycle, as by chance, that rounds take many."""

    random: Random

    def begin(self) -> None:
        """Of no interest."""

    def bound(self, budget_ms: int) -> int:  # noqa: ARG002 - the port
        """Units of work for one job or for some."""
        return self.random.choice((1, 10, 50, 200))

    def did(self, units: int) -> None:
        """Of no interest."""


def drawn_pace(plan: Plan) -> DrawnPace | None:
    """In some worlds a cycle comes to a part of the queue only."""
    random = plan.random("pace")
    return DrawnPace(random) if random.random() < 0.3 and plan.has("pace") else None


def schedule(
    ward: MemoryWard,
    looked: Callable[[Snapshot], None],
    follow: Callable[[Database], EventStream],
    pace: DrawnPace | None,
) -> Callable[[Database, Epoch], Work]:
    """The scheduler's life; `looked` is told what it knows after each cycle."""

    def begin(database: Database, epoch: Epoch) -> Work:
        process = Scheduler(database, follow(database), epoch, database.now, ward, pace=pace)

        def work() -> int:
            busy = process.cycle()
            looked(process.snapshot)
            return 0 if busy else SECOND

        return work

    return begin


def keep_time(
    watch: MemoryWatch, loop: Loop, off: frozenset[Guard]
) -> Callable[[Database, Epoch], Work]:
    """The timers' life."""

    def begin(database: Database, epoch: Epoch) -> Work:
        lease = 0 if Guard.STEADY in off else LEASE
        process = Timers(database, watch, epoch, lease, loop.clock)

        def work() -> int:
            process.tick()
            return watch.idle(database.now())

        return work

    return begin
