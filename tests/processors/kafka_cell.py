"""A cell on the real Kafka: its log, its relay, its topic read as a stranger would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.follow import Bell
from infra.kafka import Cell, cell_of
from infra.outbox import Outbox
from infra.settings import Settings
from infra.store import Change, Store, stream_of
from infra.topic import Topic
from processors.relay import ROLE, Relay

META = Meta("ada", "command:1", "trace-1", "ml")


def cell_on(address: str, name: str) -> Cell:
    """A cell of this name on these brokers."""
    return cell_of(Settings(kafka=address, cell=name))


def add(store: Store, first: int, count: int, text: str = "") -> list[int]:
    """Append events to the log in one transaction; their positions."""
    changes = [
        Change(stream_of("project", f"p-{n}"), 0, [Created(ProjectId(f"p-{n}"), text)], META)
        for n in range(first, first + count)
    ]
    return [recorded.position for recorded in store.append(changes)]


@contextmanager
def relay(store: Store, dsn: str, cell: Cell) -> Iterator[Relay]:
    """A relay that leads and begins."""
    epoch = store.take_role(ROLE, "test")
    with (
        closing(Outbox(dsn, cell.topic)) as outbox,
        closing(Topic(cell)) as topic,
        closing(Bell(dsn)) as bell,
    ):
        yield Relay(outbox, topic, epoch, bell)


def relay_all(store: Store, dsn: str, cell: Cell) -> None:
    """Relay to the end of the log."""
    with relay(store, dsn, cell) as running:
        while running.step():
            pass


def records(cell: Cell) -> list[Any]:
    """All records of the topic, read with the plain client."""
    here = TopicPartition(cell.topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=list(cell.servers), group_id=None)
    try:
        consumer.assign([here])
        consumer.seek_to_beginning(here)
        end, found = consumer.end_offsets([here])[here], []
        while consumer.position(here) < end:
            found += consumer.poll(500).get(here, ())
        return found
    finally:
        consumer.close()


def positions(found: Sequence[Any]) -> list[int]:
    """The positions that records hold in their headers."""
    return [int(dict(record.headers)["ce_position"]) for record in found]


def make_topic(cell: Cell, partitions: int) -> None:
    """Make the topic as anybody could."""
    admin = KafkaAdminClient(bootstrap_servers=list(cell.servers))
    admin.create_topics([NewTopic(cell.topic, partitions, 1)])
    admin.close()


def delete_topic(cell: Cell) -> None:
    """Delete the topic, and return when it is gone."""
    admin = KafkaAdminClient(bootstrap_servers=list(cell.servers))
    admin.delete_topics([cell.topic])
    while cell.topic in admin.list_topics():
        pass
    admin.close()
