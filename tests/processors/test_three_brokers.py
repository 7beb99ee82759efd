"""Three brokers, and the one that leads the topic killed under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from infra.kafka import Cell
from infra.kafka_stream import KafkaStream
from infra.store import Store
from processors.relay import Relay
from tests import real_kafka
from tests.kafka_three import three
from tests.processors.kafka_cell import add, cell_on, positions, records, relay
from tests.processors.test_stream import follow
from tests.real_kafka import Broker
from tests.real_parts import need

EACH, BATCHES, KILLED_AFTER = 2_000, 8, 5_000
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def brokers() -> Iterator[list[Broker]]:
    need(not real_kafka.missing(), real_kafka.missing())
    with three() as running:
        yield running


def described(cell: Cell) -> Any:
    """The topic's partition: who leads it, who has it all."""
    with closing(cell.admin()) as admin:
        [topic] = admin.describe_topics([cell.topic])
        [partition] = topic["partitions"]
    return partition


def relay_to(running: Relay, position: int) -> None:
    while running.anchor.position < position:
        running.step()


def test_the_leader_killed_under_load_costs_no_record_and_repeats_none(
    brokers: list[Broker], store: Store, dsn: str
) -> None:
    cell = cell_on(",".join(broker.address for broker in brokers), "three")
    expected: list[int] = []
    with relay(store, dsn, cell) as running, closing(KafkaStream(cell)) as stream:
        before = described(cell)
        assert len(before["replica_nodes"]) == len(before["isr_nodes"]) == 3
        leader = brokers[before["leader_id"] - 1]
        for number in range(BATCHES):
            expected += add(store, number * EACH, EACH)
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(relay_to, running, expected[-1])
            while running.anchor.position < expected[KILLED_AFTER]:
                assert not load.done()
            leader.kill()
            killed_at = running.anchor.position
            load.result(PATIENCE_SECONDS)
        assert killed_at < expected[-1], "it was killed too late"
        found = [event.position for event in follow(stream, 0, len(expected))]
    assert found == expected
    assert positions(records(cell)) == expected, "no record twice: the producer is idempotent"
    after = described(cell)
    assert after["leader_id"] != before["leader_id"]
    leader.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(described(cell)["isr_nodes"]) < 3:
        assert time.monotonic() < deadline, "it does not come back in sync"
    with relay(store, dsn, cell) as running:
        expected += add(store, BATCHES * EACH, 10)
        running.step()
    assert positions(records(cell)) == expected
