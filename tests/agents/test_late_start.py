"""A seat that was killed while its image was fetched never runs, even under a new lease."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from agents import proc, settings
from agents.agent import Agent
from agents.cell import Cell
from agents.lease import LeaseClock
from agents.reconcile import Local, Phase, too_late
from agents.runner import Runner, SeatSpec
from agents.wire import Ended, Fact, FactResult, Lease, Order, Orders, SeatKey, SeatWire
from domain.allocation.seat import Outcome

PATIENCE = 20
TTL_MS = 3_600_000
ORDER = Order("alloc-1", "job-1", 1, 0, "run", seat=SeatWire(image="large"))


class SlowRegistry:
    """A runner whose image takes as long as the test wants."""

    name = "docker"

    def __init__(self) -> None:
        self.fetching, self.fetched = threading.Event(), threading.Event()
        self.started: list[SeatKey] = []

    def prepare(self, _: SeatSpec) -> None:
        self.fetching.set()
        assert self.fetched.wait(PATIENCE)

    def start(self, spec: SeatSpec) -> None:
        self.started.append(spec.key)


class Listener:
    """A cell that takes down every fact."""

    def __init__(self) -> None:
        self.facts: queue.SimpleQueue[Fact] = queue.SimpleQueue()

    def report(self, _node: str, _boot: str, facts: Sequence[Fact]) -> list[FactResult]:
        for fact in facts:
            self.facts.put(fact)
        return [FactResult("recorded")] * len(facts)


def test_a_seat_killed_while_its_image_is_fetched_never_starts(tmp_path: Path) -> None:
    words = ["--url", "http://127.0.0.1:1", "--data", str(tmp_path), "--runners", "docker"]
    clock, cell, runner = LeaseClock(tmp_path, "boot-1"), Listener(), SlowRegistry()
    agent = Agent(
        settings.read(words, {}), cast(Cell, cell), "boot-1", (), clock, queue.SimpleQueue()
    )
    thread = threading.Thread(target=agent.run, args=({"docker": cast(Runner, runner)},))
    thread.start()
    try:
        clock.renew(proc.now_us(), TTL_MS)
        agent.take_orders(Orders(Lease("n", TTL_MS), 0, "", (ORDER,)), proc.now_us())
        assert runner.fetching.wait(PATIENCE)
        agent.kill_everything()
        clock.renew(proc.now_us(), TTL_MS)  # the agent registered again
        runner.fetched.set()
        fact = cell.facts.get(timeout=PATIENCE)
        assert isinstance(fact, Ended)
        assert fact.outcome == Outcome.STOPPED
        assert not runner.started
    finally:
        runner.fetched.set()
        agent.stop()
        thread.join(PATIENCE)


@pytest.mark.parametrize(
    ("now", "seat", "expected"),
    [
        (9, Local(Phase.STARTING), None),
        (10, Local(Phase.STARTING), Outcome.START_FAILED),
        (9, Local(Phase.STARTING, killed=True), Outcome.STOPPED),
        (9, Local(Phase.STARTING, asked=True), Outcome.STOPPED),
        (10, Local(Phase.STARTING, killed=True), Outcome.STOPPED),
    ],
)
def test_when_it_is_too_late_to_start(now: int, seat: Local, expected: Outcome | None) -> None:
    late = too_late(now, 10, seat)
    assert (late and late[0]) == expected
