"""A process's way to the log: slow at times, and the place where it is killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from domain.errors import Unavailable
from domain.event import Recorded, StreamId
from domain.values.time import MILLISECOND
from infra.outbox import Anchor, Row
from infra.recorder import Answer, Epoch, Session
from infra.store import Change, Log, Saved
from tests.simulation.log import MemoryLog
from tests.simulation.loop import Crashed, Loop

Done = TypeVar("Done")


@dataclass
class Trouble:
    """Chances per append in ten-thousandths; `longest_ms` is how long a process may stand still."""

    crash_before: int = 0
    crash_after: int = 0
    unknown: int = 0
    pause: int = 0
    longest_ms: int = 100
    down_until: int = 0
    slow_until: int = 0

    def end(self) -> None:
        """A good day from now on."""
        self.crash_before = self.crash_after = self.unknown = self.pause = 0
        self.down_until = self.slow_until = 0


class Database(Log):
    """The log for one process. `killed` ends the process and makes it start anew later."""

    def __init__(
        self,
        log: MemoryLog,
        loop: Loop,
        random: Random,
        trouble: Trouble,
        alive: Callable[[], bool],
        killed: Callable[[str], None],
        outlives: bool = True,
    ) -> None:
        """`outlives` a failover: what goes on without knowing of it is refused for its epoch."""
        self._outlives = outlives
        self._log, self._loop, self._random = log, loop, random
        self._trouble, self._alive, self._killed = trouble, alive, killed

    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        if not any(change.events for change in changes):
            return []
        return self._commit(
            lambda: self._log.append(changes, epoch=epoch, answer=answer, session=session)
        )

    def _commit(self, act: Callable[[], Done]) -> Done:
        trouble, failovers = self._trouble, self._log.failovers
        self.stand_still()
        if self._loop.now < trouble.slow_until:
            self._loop.seen["slow disk"] += 1
            self._loop.pause(self._random.randrange(20, 500) * MILLISECOND)
        self.die(trouble.crash_before, "before its commit")
        self.reach()
        if not self._outlives and self._log.failovers != failovers:
            raise Crashed
        done = act()
        self.die(trouble.crash_after, "after its commit")
        if self.happens(trouble.unknown):
            self._loop.seen["a commit that is not known"] += 1
            raise Unavailable("database_unavailable", "the connection broke at the commit")
        self.stand_still()
        return done

    def rows(self, after: int, limit: int) -> list[Row]:
        """The port `Outbox`."""
        self.reach()
        return self._log.rows(after, limit)

    def anchor(self) -> Anchor:
        """The port `Outbox`."""
        self.reach()
        return self._log.anchor()

    def advance(self, anchor: Anchor, epoch: Epoch) -> None:
        """The port `Outbox`."""
        self._commit(lambda: self._log.advance(anchor, epoch))

    def read(self, after: int, limit: int = 1000) -> list[Recorded]:
        self.reach()
        return self._log.read(after, limit)

    def wait(self, seconds: float) -> None:
        """Nothing: the loop calls when there is something."""

    def stream(self, stream: StreamId, after: int = 0) -> list[Recorded]:
        self.reach()
        return self._log.stream(stream, after)

    def head(self) -> int:
        return self._log.head()

    def held(self) -> bool:
        """The query of `infra.failover.holds`."""
        return self._log.held()

    def now(self) -> int:
        return self._log.now()

    def recall(self, principal: str, key: str) -> Saved | None:
        self.reach()
        return self._log.recall(principal, key)

    def take_role(self, role: str, holder: str) -> Epoch:
        self.reach()
        return self._log.take_role(role, holder)

    def reach(self) -> None:
        """Unavailable while the database does not answer."""
        if self._loop.now < self._trouble.down_until:
            raise Unavailable("database_unavailable", "the database does not answer")

    def stand_still(self) -> None:
        """Now and then the process does nothing for a while, and the rest of the world goes on."""
        if self.happens(self._trouble.pause):
            longest = self._trouble.longest_ms if self._random.random() < 0.2 else 50
            self._loop.seen["a process stands still"] += 1
            self.pause(self._random.randrange(1, longest + 1) * MILLISECOND)

    def pause(self, length: int) -> None:
        """The process does nothing for so long; it may be killed meanwhile."""
        self._loop.pause(length)
        if not self._alive():
            raise Crashed

    def die(self, chance: int, when: str) -> None:
        """Here the process may be killed."""
        if self.happens(chance):
            self._loop.seen[f"a process killed {when}"] += 1
            self._killed(when)
            raise Crashed

    def happens(self, chance: int) -> bool:
        """With so many chances in ten thousand."""
        return chance > 0 and self._random.randrange(10_000) < chance

    def up_to(self, most: int) -> int:
        """A random number of at most so much."""
        return self._random.randrange(most + 1)
