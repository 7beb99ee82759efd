"""Kafka broken under a running cell: afterwards every read model is the fold of the log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from infra.cloudevents import to_message
from infra.outbox import Outbox, Row
from tests.processors.faulty_kafka import FaultyKafka, faulty_kafka
from tests.processors.kafka_cell import delete_topic, make_topic, positions, records
from tests.processors.small_cell import SmallCell
from tests.real_kafka import Broker

_numbers = count(1)
TEN_MINUTES = 600 * 20
"""Events at 20 a second: as many are waiting when the broker comes back."""


@pytest.fixture
def platform(cell: SmallCell, broker: Broker, tmp_path: Path) -> Iterator[FaultyKafka]:
    with faulty_kafka(cell, broker, f"faulty-{next(_numbers)}", tmp_path) as platform:
        yield platform


def test_a_broker_killed_under_load_and_ten_minutes_without_one_cost_nothing(
    platform: FaultyKafka,
) -> None:
    platform.start()
    platform.submit(100)
    platform.broker.kill()
    platform.submit(100)
    platform.fill(TEN_MINUTES)
    platform.broker.start()
    platform.submit(100)
    platform.settle()
    platform.check()
    assert sorted(set(positions(records(platform.topic)))) == all_positions(platform)


def test_a_topic_deleted_under_load_is_filled_again(platform: FaultyKafka) -> None:
    platform.start()
    platform.submit(100)
    platform.settle()
    delete_topic(platform.topic)
    platform.submit(100)
    platform.settle()
    platform.check()
    assert sorted(set(positions(records(platform.topic)))) == all_positions(platform)


def test_a_disk_lost_under_load_is_filled_again(platform: FaultyKafka) -> None:
    platform.start()
    platform.submit(100)
    platform.settle()
    platform.submit(20)
    platform.broker.lose_disk()
    platform.submit(100)
    platform.settle()
    platform.check()
    assert sorted(set(positions(records(platform.topic)))) == all_positions(platform)


def all_positions(platform: FaultyKafka) -> list[int]:
    rows = platform.cell.connection.execute("SELECT notification_id AS n FROM stored_events")
    return sorted(row["n"] for row in rows.fetchall())


def test_repeats_and_events_out_of_order_change_nothing(platform: FaultyKafka) -> None:
    """Others write the log's records backwards before the relay does, and again after it."""
    platform.submit(60)
    make_topic(platform.topic, 1)
    outbox = Outbox(platform.cell.dsn, platform.topic.topic)
    rows = outbox.rows(0, 1000)
    write(platform, rows, backwards=True)
    platform.start("projector", "scheduler")
    platform.submit(20)
    platform.start("relay")
    platform.settle()
    platform.check()
    rows = outbox.rows(0, 1000)
    outbox.close()
    write(platform, rows, backwards=False)
    write(platform, rows, backwards=True)
    platform.submit(20)
    platform.settle()
    platform.check()


def write(platform: FaultyKafka, rows: list[Row], backwards: bool) -> None:
    """Put the records of rows into the topic, as a relay gone wrong would."""
    before = [0, *(row.position for row in rows)]
    made = [
        to_message(row, previous, platform.topic.source)
        for row, previous in zip(rows, before, strict=False)
    ]
    producer = platform.topic.producer()
    for message in reversed(made) if backwards else made:
        producer.send(platform.topic.topic, message.value, message.key, message.headers, 0)
    producer.close()
