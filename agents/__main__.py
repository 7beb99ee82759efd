"""`python -m agents`: act for this node until stopped. Seats outlive it unless --stop-seats."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys

import psutil

from agents import choose, gpus, proc, settings
from agents.agent import Agent
from agents.cell import CellRefused, HttpCell
from agents.lease import LeaseClock, LeaseKeeper
from agents.runner import LINES, StartFailed
from agents.wire import Capacity, Registration, SeatKey
from domain.errors import Invalid

VERSION = "0.1.0"


def main() -> None:
    """Exit 0 when asked to stop, 2 for wrong settings, 1 when the cell refuses the agent."""
    logging.basicConfig(level=logging.INFO, format=LINES, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        given = settings.read(sys.argv[1:], os.environ)
    except Invalid as error:
        sys.exit(f"agents: {error.detail}")
    given.data.mkdir(parents=True, exist_ok=True)
    boot, devices = proc.boot_id(), gpus.discover(given.fake_gpus, given.node)
    exits: queue.SimpleQueue[SeatKey] = queue.SimpleQueue()
    cell = HttpCell(given.url, given.token)
    clock = LeaseClock(given.data, boot)
    agent = Agent(given, cell, boot, devices, clock, exits)

    def exited(key: SeatKey) -> None:
        exits.put(key)
        agent.wake()

    try:
        runners = choose.runners(given, exited)
    except StartFailed as error:
        sys.exit(f"agents: {error}")
    registration = Registration(
        node=given.node,
        boot=boot,
        capacity=Capacity(
            given.cpu_milli or 1000 * (os.cpu_count() or 1),
            given.memory_bytes or psutil.virtual_memory().total,
            # the size, not what is free now: an offer that changed with every file would be
            # recorded as often
            psutil.disk_usage(str(given.data)).total
            if given.storage_bytes is None
            else given.storage_bytes,
            given.network_mbps,
        ),
        devices=gpus.offered(devices),
        runners=tuple(runners),
        pool=given.pool,
        rack=given.rack,
        spine=given.spine,
        taints=given.taints,
        labels=dict(given.labels),
        agent_version=VERSION,
    )
    refused: list[CellRefused] = []

    def on_refused(error: CellRefused) -> None:
        refused.append(error)
        agent.stop()

    keeper = LeaseKeeper(
        cell, registration, clock, agent.take_orders, agent.kill_everything, on_refused
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    keeper.start()
    agent.run(runners)
    keeper.stop()
    for runner in runners.values():
        runner.close()
    if refused:
        sys.exit(f"agents: the cell refuses this agent: {refused[0]}")
    logging.getLogger("agents").info(
        "stopped; %s", "its seats too" if given.stop_seats else "seats go on running"
    )


if __name__ == "__main__":
    main()
