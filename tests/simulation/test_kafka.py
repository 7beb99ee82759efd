"""The simulation's brokers and outbox do what the real ones do: one suite for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import NewTopic
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from domain.errors import Conflict, Invalid, StaleWriter, Unavailable
from infra.kafka import Cell
from infra.kafka_stream import KafkaStream
from infra.outbox import NOTHING, Anchor, Outbox
from infra.store import Change, Log, Store, stream_of
from infra.topic import Topic, TopicLost
from processors import relay
from processors.relay import CHECK_SECONDS, ROLE, Relay
from tests.processors.kafka_cell import META, cell_on
from tests.simulation.kafka import MemoryBrokers, MemoryCell
from tests.simulation.log import MemoryLog
from tests.simulation.test_ports import CREATED

_numbers = count(1)
TRIES = 200


@dataclass
class Way:
    """A log, its outbox and its cell on Kafka."""

    log: Log
    outbox: relay.Outbox
    cell: Cell
    stack: ExitStack

    def add(self, number: int) -> list[int]:
        """Append so many events; their positions."""
        names = [f"p-{next(_numbers)}" for _ in range(number)]
        changes = [Change(stream_of("project", name), 0, [CREATED], META) for name in names]
        return [recorded.position for recorded in self.log.append(changes)]

    def topic(self) -> Topic:
        return self.stack.enter_context(closing(Topic(self.cell)))

    def relay(self, topic: Topic | None = None, seconds: float = 0.0) -> Relay:
        """A relay that leads and begins; its clock goes on by so much each time it looks."""
        epoch, ticks = self.log.take_role(ROLE, "x"), count()
        to = topic or self.topic()
        return Relay(self.outbox, to, epoch, _Quiet(), lambda: next(ticks) * seconds)

    def consumer(self) -> Any:
        found = self.cell.consumer()
        self.stack.callback(found.close, autocommit=False)
        return found

    def stream(self) -> KafkaStream:
        return self.stack.enter_context(closing(KafkaStream(self.cell, self.outbox)))

    def delete(self) -> None:
        """The topic is deleted, and that is over."""
        with closing(self.cell.admin()) as admin:
            admin.delete_topics([self.cell.topic])
            while self.cell.topic in admin.list_topics():
                pass


class _Quiet:
    def wait(self, seconds: float) -> None:
        """Nobody waits here."""


@pytest.fixture(params=["memory", "real"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    name = f"port-{next(_numbers)}"
    with ExitStack() as stack:
        if request.param == "memory":
            log = MemoryLog(lambda: 1_700_000_000_000_000)
            topic, source = f"compute.{name}.events", f"/compute/cells/{name}"
            yield Way(log, log, MemoryCell(("memory:1",), topic, source), stack)
            return
        store: Store = request.getfixturevalue("store")
        cell = cell_on(request.getfixturevalue("broker").address, name)
        dsn: str = request.getfixturevalue("dsn")
        outbox = stack.enter_context(closing(Outbox(dsn, cell.topic)))
        yield Way(store, outbox, cell, stack)


def _polled(consumer: Any, here: TopicPartition, wanted: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(TRIES):
        found += consumer.poll(timeout_ms=100).get(here, ())
        if len(found) >= wanted:
            return found
    raise AssertionError(f"{len(found)} of {wanted}")


def _read(stream: KafkaStream, after: int, wanted: int) -> list[int]:
    found: list[int] = []
    for _ in range(TRIES):
        found += [e.position for e in stream.read(found[-1] if found else after, 100)]
        if len(found) >= wanted:
            return found
        stream.wait(0.1)
    raise AssertionError(f"{len(found)} of {wanted}")


def test_rows_are_the_log_in_its_order(way: Way) -> None:
    expected = way.add(5)
    assert [row.position for row in way.outbox.rows(0, 10)] == expected
    assert [row.position for row in way.outbox.rows(expected[1], 2)] == expected[2:4]
    assert way.outbox.rows(expected[-1], 10) == []
    [event] = way.log.read(0, 1)
    [row] = way.outbox.rows(0, 1)
    assert (row.stream, row.version, row.recorded_at) == (event.stream, 1, event.recorded_at)
    assert row.name == "project.created.v1"


def test_only_who_leads_notes_how_far_it_came(way: Way) -> None:
    assert way.outbox.anchor() == NOTHING
    first, second = way.log.take_role(ROLE, "a"), way.log.take_role(ROLE, "b")
    with pytest.raises(StaleWriter):
        way.outbox.advance(Anchor(1, 0), first)
    assert way.outbox.anchor() == NOTHING
    way.outbox.advance(Anchor(7, 3), second)
    way.outbox.advance(Anchor(5, 2), second)
    assert way.outbox.anchor() == Anchor(5, 2)


def test_records_have_the_next_offset_and_are_read_as_they_were_sent(way: Way) -> None:
    topic, here = way.topic(), way.cell.partition
    positions = way.add(3)
    rows = way.outbox.rows(0, 10)
    assert topic.publish(rows, NOTHING) == Anchor(positions[-1], 2)
    assert topic.publish(rows[:1], Anchor(positions[-1], 2)) == Anchor(positions[0], 3)
    consumer = way.consumer()
    assert consumer.beginning_offsets([here], timeout_ms=5000)[here] == 0
    assert consumer.end_offsets([here], timeout_ms=5000)[here] == 4
    consumer.seek(here, 1)
    found = _polled(consumer, here, 3)
    assert consumer.position(here) == 4
    assert [record.offset for record in found] == [1, 2, 3]
    assert found[0].key == rows[1].stream.encode()
    assert found[0].timestamp == rows[1].recorded_at // 1000
    assert dict(found[0].headers)["ce_previous"] == str(positions[0]).encode()
    assert found[0].value in rows[1].state


def test_an_offset_that_is_not_there_is_an_error_never_a_jump(way: Way) -> None:
    topic, here = way.topic(), way.cell.partition
    way.add(4)
    topic.publish(way.outbox.rows(0, 10), NOTHING)
    consumer = way.consumer()
    with pytest.raises(NoOffsetForPartitionError):
        _polled(consumer, here, 1)
    consumer.seek(here, 4)
    assert consumer.poll(timeout_ms=100) == {}
    consumer.seek(here, 9)
    with pytest.raises(OffsetOutOfRangeError):
        _polled(consumer, here, 1)
    with closing(way.cell.admin()) as admin:
        admin.delete_records({here: 2})
    assert consumer.beginning_offsets([here], timeout_ms=5000)[here] == 2
    consumer.seek(here, 1)
    with pytest.raises(OffsetOutOfRangeError):
        _polled(consumer, here, 1)
    consumer.seek_to_beginning(here)
    assert [record.offset for record in _polled(consumer, here, 2)] == [2, 3]


def test_a_topic_is_made_once_with_one_partition(way: Way) -> None:
    way.topic()
    way.topic()
    with closing(way.cell.admin()) as admin:
        assert way.cell.topic in admin.list_topics()
        [found] = admin.describe_topics([way.cell.topic])
    assert len(found["partitions"]) == 1


def test_a_topic_of_two_partitions_is_refused(way: Way) -> None:
    with closing(way.cell.admin()) as admin:
        admin.create_topics([NewTopic(way.cell.topic, 2, -1)])
    with pytest.raises(Invalid, match="topic_partitions"):
        way.topic()


def test_a_relay_fills_the_topic_and_a_reader_follows_it(way: Way) -> None:
    expected = way.add(5)
    running = way.relay()
    assert running.turn() == 5
    assert running.turn() == 0
    stream = way.stream()
    assert _read(stream, 0, 5) == expected
    expected += way.add(2)
    running.turn()
    assert _read(stream, expected[4], 2) == expected[5:]
    assert way.outbox.anchor() == Anchor(expected[-1], 6)


def test_a_stale_relay_writes_repeats_which_readers_pass_over(way: Way) -> None:
    expected = way.add(3)
    stale, leads = way.relay(), way.relay()
    leads.turn()
    with pytest.raises(StaleWriter):
        stale.turn()
    expected += way.add(2)
    leads.turn()
    assert _read(way.stream(), 0, 5) == expected
    assert [e.position for e in way.topic().since(NOTHING)] == expected[:3] + expected[:3] + (
        expected[3:]
    )


def test_a_lost_topic_is_noticed_and_filled_again(way: Way) -> None:
    expected = way.add(3)
    running = way.relay(seconds=CHECK_SECONDS + 1)
    running.turn()
    way.delete()
    topic = way.topic()  # somebody makes it anew
    with pytest.raises(TopicLost):
        running.turn()
    stream = way.stream()
    again = way.relay(topic)
    assert again.anchor == NOTHING
    again.turn()
    assert _read(stream, 0, 3) == expected


def test_a_jump_to_the_latest_offset_is_refused(way: Way) -> None:
    expected = way.add(2)
    running = way.relay()
    running.turn()
    stream = way.stream()
    assert _read(stream, 0, 2) == expected
    way.add(2)
    running.turn()
    stream._consumer.seek_to_end(way.cell.partition)
    stream._consumer.position(way.cell.partition)
    way.add(1)
    running.turn()
    with pytest.raises(Conflict, match="log_gap"):
        _read(stream, expected[-1], 1)


def test_a_reader_is_told_that_the_topic_was_made_anew(way: Way) -> None:
    expected = way.add(3)
    way.relay().turn()
    stream = way.stream()
    assert _read(stream, 0, 3) == expected
    way.delete()
    way.topic()
    with pytest.raises(Unavailable):
        _read(stream, expected[-1], 1)


class _Cut:
    """A line on which, in the middle of a batch, another broker leads that lacks the end."""

    def __init__(self, brokers: MemoryBrokers, topic: str, end: int) -> None:
        self._brokers, self._topic, self._end = brokers, topic, end

    def carry(self, count: int, arrive: Callable[[int], None]) -> None:
        arrive(1)
        self._brokers.cut(self._topic, self._end)
        arrive(count - 1)


@pytest.mark.parametrize("end", [1, 2, 3])
def test_what_is_lost_while_a_batch_is_written_is_not_noted_as_relayed(end: int) -> None:
    """Such a moment cannot be had of a real broker."""
    log, brokers = MemoryLog(lambda: 0), MemoryBrokers()
    cell = MemoryCell(("memory:1",), "compute.cut.events", "/compute/cells/cut", None, brokers)
    with ExitStack() as stack:
        way = Way(log, log, cell, stack)
        expected = way.add(3)
        way.relay().turn()
        expected += way.add(5)
        cut = MemoryCell(
            cell.servers, cell.topic, cell.source, None, brokers, _Cut(brokers, cell.topic, end)
        )
        with pytest.raises(TopicLost):
            way.relay(Topic(cut)).turn()
        assert log.anchor().position == expected[2]
        way.relay().turn()
        assert way.topic().covered().position == expected[-1]
