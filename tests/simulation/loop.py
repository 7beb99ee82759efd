"""Simulated time: a queue of things to happen, and a trace of what did."""

from __future__ import annotations

import heapq
import zlib
from collections import Counter
from collections.abc import Callable

Action = Callable[[], None]
DEEPEST = 8


class Crashed(BaseException):
    """The simulated process was killed here; nothing of the product may catch it."""


class Loop:
    """Runs actions in order of time. `pause` lets the rest of the world go on inside an action.

    `seen` counts what came about of all that can go wrong.
    """

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self.seen: Counter[str] = Counter()
        self._queue: list[tuple[int, int, Action]] = []
        self._number = 0
        self._depth = 0

    def at(self, when: int, action: Action) -> None:
        """Do it then (microseconds), or as soon as possible when that is over."""
        self._number += 1
        heapq.heappush(self._queue, (max(when, self.now), self._number, action))

    def clock(self) -> int:
        """Microseconds, by a clock that nobody sets."""
        return self.now

    def after(self, delay: int, action: Action) -> None:
        """Do it after so many microseconds."""
        self.at(self.now + delay, action)

    def run(self, until: int) -> None:
        """Let the world go on to that time."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            when, _, action = heapq.heappop(queue)
            self.now = max(self.now, when)
            self.events += 1
            action()
        self.now = max(self.now, until)

    def pause(self, delay: int) -> None:
        """The action under way takes that long, and others act meanwhile."""
        if self._depth >= DEEPEST:
            return
        self._depth += 1
        try:
            self.run(self.now + delay)
        finally:
            self._depth -= 1


class Trace:
    """What happened, and a running checksum of it all."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.seen = loop.seen
        self._lines: list[tuple[int, str, str, str]] = []
        self.checksum = 0

    def note(self, text: str, job: str = "", node: str = "") -> None:
        """This happened now, to this job or on this node."""
        now = self._loop.now
        self._lines.append((now, job, node, text))
        self.checksum = zlib.crc32(f"{now} {job} {node} {text}\n".encode(), self.checksum)

    def story(self, job: str, nodes: set[str], last: int) -> list[str]:
        """The last lines about the job or one of the nodes, and about what concerns everybody."""
        chosen = [
            f"{now / 1e6:10.3f} {who or where or '-':22} {text}"
            for now, who, where, text in self._lines
            if (job and who == job) or where in nodes or not (who or where)
        ]
        return chosen[-last:]
