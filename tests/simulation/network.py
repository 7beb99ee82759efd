"""The network between nodes, users and the cell: slow, lossy, duplicating, sometimes one-way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from domain.errors import Refusal
from domain.values.time import MILLISECOND
from infra.codec import UnknownEvent
from tests.simulation.loop import Crashed, Loop

Reply = Callable[[Any], None]
Handler = Callable[[Reply], None]


class Away:
    """No answer came: nothing is known."""


AWAY = Away()


@dataclass
class Weather:
    """How bad the network is: chances per message in thousandths, the longest delay in ms."""

    drop: int = 0
    duplicate: int = 0
    slow: int = 0
    slowest_ms: int = 100


@dataclass
class Network:
    """Carries calls to the cell. A call is answered once: by a reply, or by AWAY in the end."""

    loop: Loop
    random_of: Callable[[str], Random]
    weather: Weather = field(default_factory=Weather)
    blocked: dict[tuple[str, str], int] = field(default_factory=dict)
    cell_down_until: int = 0

    def __post_init__(self) -> None:
        self._randoms: dict[str, Random] = {}

    def block(self, source: str, target: str, until: int) -> None:
        """Nothing passes in this direction until then; some of it arrives afterwards."""
        self.blocked[source, target] = until

    def heal(self) -> None:
        """Good weather from now on."""
        self.weather, self.blocked, self.cell_down_until = Weather(), {}, 0

    def call(self, node: str, handler: Handler, done: Reply, timeout: int) -> None:
        """Have the cell run `handler`; `done` gets what it replies, a Refusal, or AWAY."""
        answered = False

        def finish(result: Any) -> None:
            nonlocal answered
            if not answered:
                answered = True
                done(result)

        def reply(result: Any) -> None:
            self._carry("cell", node, lambda: finish(result))

        def arrive() -> None:
            if self.loop.now < self.cell_down_until:
                return
            try:
                handler(reply)
            except Refusal as refusal:
                reply(refusal)
            except (Crashed, UnknownEvent):
                pass  # the process that served it is gone, or failed: no reply

        self._carry(node, "cell", arrive)
        self.loop.after(timeout, lambda: finish(AWAY))

    def _carry(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        random, weather = self._random(target if source == "cell" else source), self.weather
        seen = self.loop.seen
        twice = _happens(random, weather.duplicate)
        seen["a message twice"] += twice
        for _ in range(2 if twice else 1):
            if _happens(random, weather.drop):
                seen["a message lost"] += 1
                continue
            when = self.loop.now + _delay(random, weather)
            until = self.blocked.get((source, target), 0)
            if until > self.loop.now:
                seen["a message cut off"] += 1
                if random.random() < 0.5:
                    continue
                when = until + _delay(random, weather)  # what the network still held
            self.loop.at(when, deliver)

    def _random(self, node: str) -> Random:
        """A node's own random numbers: what befalls one changes nothing for another."""
        if node not in self._randoms:
            self._randoms[node] = self.random_of(node)
        return self._randoms[node]


def _delay(random: Random, weather: Weather) -> int:
    if _happens(random, weather.slow):
        return random.randrange(weather.slowest_ms) * MILLISECOND
    return random.randrange(200, 3000)


def _happens(random: Random, thousandths: int) -> bool:
    return thousandths > 0 and random.randrange(1000) < thousandths
