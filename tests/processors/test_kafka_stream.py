"""What a reader through Kafka meets and a reader of the log does not: repeats, jumps, losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from typing import Any

import psycopg
import pytest

from domain.errors import Conflict, Unavailable
from infra.failover import fail_over
from infra.kafka import Cell
from infra.kafka_stream import KafkaStream
from infra.store import Store
from tests.processors.kafka_cell import (
    add,
    cell_on,
    delete_topic,
    make_topic,
    records,
    relay_all,
)
from tests.processors.test_stream import follow
from tests.real_kafka import Broker

_numbers = count(1)


@pytest.fixture
def cell(broker: Broker) -> Cell:
    """A cell whose topic nobody has used."""
    return cell_on(broker.address, f"reader-{next(_numbers)}")


@pytest.fixture
def stream(store: Store, dsn: str, cell: Cell) -> Iterator[KafkaStream]:
    """A reader of the cell's topic, which is there and empty."""
    relay_all(store, dsn, cell)
    with closing(KafkaStream(cell)) as stream:
        yield stream


def send(cell: Cell, some: list[Any]) -> None:
    """Write records to the topic once more, in the order given."""
    producer = cell.producer()
    for record in some:
        producer.send(cell.topic, record.value, record.key, record.headers, 0)
    producer.close()


def positions_after(stream: KafkaStream, after: int, wanted: int) -> list[int]:
    return [event.position for event in follow(stream, after, wanted)]


def test_what_the_log_lost_is_not_read(
    store: Store, dsn: str, cell: Cell, owner: psycopg.Connection[Any]
) -> None:
    """A standby that was behind took over: the topic's last events are of no log any more."""
    kept, lost = add(store, 0, 10), add(store, 10, 10)
    relay_all(store, dsn, cell)
    owner.execute("DELETE FROM stored_events WHERE notification_id >= %s", (lost[0],))
    with closing(KafkaStream(cell, store)) as stream:
        for _ in range(3):
            with pytest.raises(Conflict, match="foreign_topic"):
                positions_after(stream, kept[4], 5)
        fail_over(dsn, ("scheduler",), lost[-1])
        new = add(store, 20, 10)
        assert new[0] > lost[-1], "no position is given twice"
        with pytest.raises(Conflict, match="foreign_topic"):
            positions_after(stream, kept[4], 5)
        with pytest.raises(Conflict, match="foreign_topic"):
            relay_all(store, dsn, cell)
        delete_topic(cell)
        relay_all(store, dsn, cell)
        with suppress(Unavailable):  # it finds that the topic was made anew
            stream.read(kept[4], 1)
        assert positions_after(stream, kept[4], 15) == [*kept[5:], *new]
    assert [event.position for event in store.read(0)] == [*kept, *new]


def test_what_the_log_lost_is_not_read_in_one_batch_with_what_came_after_it(
    store: Store, dsn: str, cell: Cell, owner: psycopg.Connection[Any], broker: Broker
) -> None:
    """A relay that stood still over the failover wrote it just before the one that leads now."""
    kept, lost = add(store, 0, 10), add(store, 10, 5)
    other = cell_on(broker.address, "reader-behind")
    relay_all(store, dsn, cell)
    before = records(cell)
    owner.execute("DELETE FROM stored_events WHERE notification_id >= %s", (lost[0],))
    fail_over(dsn, ("scheduler",), lost[-1])
    add(store, 20, 5)
    relay_all(store, dsn, other)
    delete_topic(cell)
    make_topic(cell, 1)
    new = [(r.value, r.key, renamed(r.headers, cell)) for r in records(other)[10:]]
    send(cell, before)
    producer = cell.producer()
    for value, key, headers in new:
        producer.send(cell.topic, value, key, headers, 0)
    producer.close()
    for after in (0, kept[4], kept[-1]):
        with (
            closing(KafkaStream(cell, store)) as stream,
            pytest.raises(Conflict, match="foreign_topic"),
        ):
            positions_after(stream, after, 10)


def renamed(headers: list[tuple[str, bytes]], cell: Cell) -> list[tuple[str, bytes]]:
    """The same, of this cell."""
    return [(n, cell.source.encode() if n == "ce_source" else v) for n, v in headers]


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Whoever may do what the services may not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def test_repeats_are_dropped(store: Store, dsn: str, cell: Cell, stream: KafkaStream) -> None:
    expected = add(store, 0, 20)
    relay_all(store, dsn, cell)
    sent = records(cell)
    send(cell, sent[5:15])
    send(cell, sent)
    more = add(store, 20, 5)
    relay_all(store, dsn, cell)
    assert positions_after(stream, 0, 25) == expected + more
    for after in (expected[3], expected[12], expected[-1]):
        left = [p for p in expected + more if p > after]
        assert positions_after(stream, after, len(left)) == left


def test_what_a_failed_relay_sent_too_early_is_read_in_its_turn(
    cell: Cell, store: Store, dsn: str, stream: KafkaStream
) -> None:
    expected = add(store, 0, 20)
    relay_all(store, dsn, cell)
    sent = records(cell)
    delete_topic(cell)
    make_topic(cell, 1)
    send(cell, sent[10:])
    send(cell, sent)
    for after in (0, expected[4], expected[14]):
        left = [p for p in expected if p > after]
        with closing(KafkaStream(cell)) as reader:
            assert positions_after(reader, after, len(left)) == left


def test_a_jump_to_the_latest_offset_is_refused(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    [first] = add(store, 0, 1)
    relay_all(store, dsn, cell)
    assert positions_after(stream, 0, 1) == [first]
    add(store, 1, 10)
    relay_all(store, dsn, cell)
    stream._consumer.seek_to_end(cell.partition)
    stream._consumer.position(cell.partition)
    expected = add(store, 11, 3)
    relay_all(store, dsn, cell)
    with pytest.raises(Conflict, match="log_gap"):
        follow(stream, first, 1)
    assert positions_after(stream, first, 13)[-3:] == expected  # it finds its place again


def test_a_jump_to_the_earliest_offset_is_harmless(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    positions = add(store, 0, 10)
    relay_all(store, dsn, cell)
    assert positions_after(stream, 0, 10) == positions
    stream._consumer.seek_to_beginning(cell.partition)
    more = add(store, 10, 2)
    relay_all(store, dsn, cell)
    assert positions_after(stream, positions[-1], 2) == more


def test_a_topic_without_its_beginning_is_refused_to_who_needs_it(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    positions = add(store, 0, 20)
    relay_all(store, dsn, cell)
    admin = cell.admin()
    admin.delete_records({cell.partition: 10})
    admin.close()
    for after in (0, positions[8]):
        with pytest.raises(Conflict, match="log_gap"):
            follow(stream, after, 1)
    assert positions_after(stream, positions[9], 10) == positions[10:]


def test_a_record_lost_in_the_middle_is_refused(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    positions = add(store, 0, 10)
    relay_all(store, dsn, cell)
    sent = records(cell)
    delete_topic(cell)
    make_topic(cell, 1)
    send(cell, sent[:4] + sent[5:])
    assert [e.position for e in follow(stream, 0, 4, limit=4)] == positions[:4]
    with pytest.raises(Conflict, match="log_gap"):
        follow(stream, positions[3], 1)


def test_records_of_others_are_passed_over(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    producer = cell.producer()
    expected = []
    for number in range(5):
        producer.send(cell.topic, b"hello", b"key", [("ce_source", b"/elsewhere")], 0)
        producer.send(cell.topic, None, b"key", [], 0)
        producer.flush()
        expected += add(store, number, 1)
        relay_all(store, dsn, cell)
    producer.close()
    assert positions_after(stream, 0, 5) == expected
    assert positions_after(stream, expected[2], 2) == expected[3:]


def test_a_topic_made_anew_is_read_on_from_the_same_position(
    store: Store, dsn: str, cell: Cell, stream: KafkaStream
) -> None:
    positions = add(store, 0, 10)
    relay_all(store, dsn, cell)
    assert positions_after(stream, 0, 10) == positions
    delete_topic(cell)
    more = add(store, 10, 5)
    relay_all(store, dsn, cell)
    found: list[int] = []
    for _ in range(20):
        try:
            found = positions_after(stream, positions[-1], 5)
            break
        except Unavailable:  # as it is told when its offset is gone
            continue
    assert found == more
