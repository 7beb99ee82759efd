"""F04: the relay is killed at its failpoints: repeats on the wire, never a gap."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from infra.store import Store
from tests.faults.cell import TOP, UNSET, until
from tests.faults.test_failpoints import KILLED_BY_KAFKA
from tests.processors.kafka_cell import add, cell_on, positions, records
from tests.real_kafka import Broker


def start(dsn: str, broker: Broker, cell: str, failpoint: str) -> subprocess.Popen[bytes]:
    env = {key: value for key, value in os.environ.items() if key not in UNSET}
    env |= {"COMPUTE_DATABASE_URL": dsn, "COMPUTE_KAFKA": broker.address, "COMPUTE_CELL": cell}
    command = [sys.executable, "-m", "processors", "relay"]
    return subprocess.Popen(command, cwd=TOP, env={**env, "COMPUTE_FAILPOINT": failpoint})


@pytest.mark.parametrize("name", sorted(KILLED_BY_KAFKA))
def test_f04_a_killed_relay_leaves_no_gap(
    store: Store, dsn: str, broker: Broker, name: str
) -> None:
    cell = name.replace(".", "-")
    expected = add(store, 0, 50)
    armed = start(dsn, broker, cell, name)
    assert armed.wait(120) == -signal.SIGKILL
    expected += add(store, 50, 50)
    again = start(dsn, broker, cell, "")
    try:
        topic = cell_on(broker.address, cell)
        until(lambda: set(positions(records(topic))) == set(expected), "all of it is relayed")
        found = positions(records(topic))
    finally:
        again.kill()
        again.wait()
    assert list(dict.fromkeys(found)) == expected, "repeats at most, in order"
