"""Kafka in memory: what `infra` asks of the client, on topics that are lists.

`test_kafka.py` holds it to a real broker. All else of the product's way to Kafka runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from kafka import TopicPartition
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from infra.kafka import FETCH_BYTES, Cell

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Record:
    """What a topic holds at an offset; `timestamp` in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class MemoryTopic:
    """Its first partition: `records` from the offset `first` on."""

    partitions: int = 1
    first: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


class MemoryBrokers:
    """Topics by name.

    `reachable` says whether they answer now; `losses` counts what took records away; `arrived` is
    told each record, and whether its producer is from before a loss.
    """

    def __init__(self) -> None:
        self.topics: dict[str, MemoryTopic] = {}
        self.losses = 0
        self.makes_topics = False
        self.reachable: Callable[[], bool] = lambda: True
        self.arrived: Callable[[Record, bool], None] = lambda *_: None

    def find(self, name: str) -> MemoryTopic:
        """The topic; errors as the client has them when it or the brokers are not there."""
        if not self.reachable():
            raise KafkaTimeoutError("the brokers do not answer")
        if name not in self.topics:
            raise UnknownTopicOrPartitionError(name)
        return self.topics[name]

    def make(self, name: str, partitions: int = 1) -> None:
        """Make a topic."""
        if not self.reachable():
            raise KafkaTimeoutError("the brokers do not answer")
        if name in self.topics:
            raise TopicAlreadyExistsError(name)
        self.topics[name] = MemoryTopic(partitions)

    def delete(self, name: str) -> None:
        """The topic is gone, by somebody's order or with the brokers' disks."""
        self.losses += 1
        self.topics.pop(name, None)

    def cut(self, name: str, end: int) -> None:
        """A broker leads that had not got the last records."""
        self.losses += 1
        topic = self.topics[name]
        del topic.records[max(0, end - topic.first) :]

    def trim(self, name: str, first: int) -> None:
        """Retention took what is before an offset."""
        topic = self.topics[name]
        del topic.records[: first - topic.first]
        topic.first = first

    def append(self, name: str, record: Record, losses: int) -> int:
        """Put a record at the end, of a producer that knew of so many losses; its offset."""
        if self.makes_topics and name not in self.topics:
            self.make(name)
        topic = self.find(name)
        placed = Record(topic.end, record.timestamp, record.key, record.value, record.headers)
        topic.records.append(placed)
        self.arrived(placed, losses < self.losses)
        return placed.offset


class Line(Protocol):
    """How a producer's records get to the brokers."""

    def carry(self, count: int, arrive: Callable[[int], None]) -> None:
        """Let the next so many arrive, in order, now or later; KafkaError if it is not known."""


class Sound:
    """A line on which nothing goes wrong."""

    def carry(self, count: int, arrive: Callable[[int], None]) -> None:
        """All of them, at once."""
        arrive(count)


@dataclass(frozen=True)
class MemoryCell(Cell):
    """A cell whose brokers are in memory; `told` is how a reader sees a record."""

    brokers: MemoryBrokers = field(default_factory=MemoryBrokers)
    line: Line = field(default_factory=Sound)
    told: Callable[[Record], Record] = lambda record: record

    def producer(self) -> MemoryProducer:
        with self.reaching():
            return MemoryProducer(self.brokers, self.line)

    def consumer(self, fetch_bytes: int = FETCH_BYTES) -> MemoryConsumer:  # noqa: ARG002
        return MemoryConsumer(self.brokers, self.told)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self.brokers)


class MemoryFuture:
    """What becomes of a record that is on its way."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self.offset: int | None = None
        self.error: KafkaError | None = None

    def get(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Its place, or why that is not known."""
        if self.offset is None and self.error is None:
            self._flush()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(offset=self.offset)


class MemoryProducer:
    """`KafkaProducer`: records arrive in the order they were sent in, a prefix of them at least."""

    def __init__(self, brokers: MemoryBrokers, line: Line) -> None:
        self._brokers, self._line = brokers, line
        self._losses = brokers.losses
        self._pending: list[tuple[str, Record, MemoryFuture]] = []

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,  # noqa: ARG002
        timestamp_ms: int = 0,
    ) -> MemoryFuture:
        """On its way, as soon as somebody waits for it."""
        future = MemoryFuture(self.flush)
        record = Record(-1, timestamp_ms, key, value, headers or [])
        self._pending.append((topic, record, future))
        return future

    def flush(self) -> None:
        """Bring what is on its way to the brokers."""
        pending, self._pending = self._pending, []
        waiting = iter(pending)

        def arrive(count: int) -> None:
            for _ in range(count):
                topic, record, future = next(waiting)
                future.offset = self._brokers.append(topic, record, self._losses)

        try:
            self._line.carry(len(pending), arrive)
        except KafkaError as error:
            for _, _, future in pending:
                future.error = error

    def close(self, timeout: float | None = None) -> None:
        """Send what is left, if there is time."""
        if timeout != 0:
            self.flush()


class MemoryConsumer:
    """`KafkaConsumer` of given partitions, outside any group."""

    def __init__(self, brokers: MemoryBrokers, told: Callable[[Record], Record]) -> None:
        self._brokers, self._told = brokers, told
        self._offset: int | None = None
        self._here = TopicPartition("", 0)

    def _topic(self, here: TopicPartition) -> MemoryTopic:
        try:
            return self._brokers.find(here.topic)
        except UnknownTopicOrPartitionError as error:  # the client waits for it to be made
            raise KafkaTimeoutError(f"no topic {here.topic}") from error

    def beginning_offsets(self, some: Sequence[Any], timeout_ms: int = 0) -> dict[Any, int]:  # noqa: ARG002
        return {here: self._topic(here).first for here in some}

    def end_offsets(self, some: Sequence[Any], timeout_ms: int = 0) -> dict[Any, int]:  # noqa: ARG002
        return {here: self._topic(here).end for here in some}

    def seek(self, here: TopicPartition, offset: int) -> None:
        self._here, self._offset = here, offset

    def seek_to_beginning(self, here: TopicPartition) -> None:
        self.seek(here, self._topic(here).first)

    def seek_to_end(self, here: TopicPartition) -> None:
        self.seek(here, self._topic(here).end)

    def position(self, here: TopicPartition) -> int:  # noqa: ARG002
        assert self._offset is not None, "not placed"
        return self._offset

    def poll(self, timeout_ms: int = 0, max_records: int = 500) -> dict[Any, list[Record]]:  # noqa: ARG002
        """What comes next; nothing while the brokers or the topic are away."""
        if self._offset is None:
            raise NoOffsetForPartitionError(self._here)
        try:
            topic = self._brokers.find(self._here.topic)
        except (KafkaTimeoutError, UnknownTopicOrPartitionError):
            return {}
        if not topic.first <= self._offset <= topic.end:
            raise OffsetOutOfRangeError({self._here: self._offset})
        start = self._offset - topic.first
        found = topic.records[start : start + max_records]
        self._offset += len(found)
        return {self._here: [self._told(record) for record in found]} if found else {}

    def close(self, autocommit: bool = True, timeout_ms: int = 0) -> None:
        """It holds nothing."""


class MemoryAdmin:
    """`KafkaAdminClient`."""

    def __init__(self, brokers: MemoryBrokers) -> None:
        self._brokers = brokers

    def create_topics(self, topics: Iterable[Any]) -> None:
        for topic in topics:
            self._brokers.make(topic.name, topic.num_partitions)

    def delete_topics(self, names: Iterable[str]) -> None:
        for name in names:
            self._brokers.find(name)
            self._brokers.delete(name)

    def delete_records(self, firsts: dict[TopicPartition, int]) -> None:
        for here, first in firsts.items():
            self._brokers.find(here.topic)
            self._brokers.trim(here.topic, first)

    def list_topics(self) -> list[str]:
        return list(self._brokers.topics)

    def describe_topics(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"partitions": [{}] * self._brokers.find(name).partitions} for name in names]

    def close(self) -> None:
        """It holds nothing."""
