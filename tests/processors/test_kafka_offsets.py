"""Offsets set by hand under the projector, and a group of outside consumers that changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from domain.errors import Conflict
from infra.cloudevents import to_message
from infra.kafka import Cell
from infra.kafka_stream import KafkaStream
from infra.outbox import Row
from infra.store import Store
from processors.projector import Projector
from tests.processors.kafka_cell import add, cell_on, make_topic, relay_all
from tests.processors.small_cell import SmallCell, settle
from tests.projections.tables import dump, folded, parsed
from tests.projections.tables import positions as view_positions
from tests.real_kafka import Broker

_numbers = count(1)
GROUP_POLLS = 200


@pytest.fixture
def topic(broker: Broker) -> Cell:
    """A cell whose topic nobody has used."""
    return cell_on(broker.address, f"offsets-{next(_numbers)}")


def work(cell: SmallCell, topic: Cell, first: int) -> None:
    """Ten jobs are submitted and some placed, and all of it is relayed."""
    for number in range(first, first + 10):
        cell.submit(f"job-{number}")
    settle(cell.scheduler())
    relay_all(cell.store, cell.dsn, topic)


def project(cell: SmallCell, projector: Projector, stream: KafkaStream) -> None:
    """Bring every read model to the end of the log, and hold it against its fold."""
    while min(view_positions(cell.connection).values()) < cell.store.head():
        if not projector.step():
            stream.wait(0.5)
    assert parsed(dump(cell.connection)) == folded(cell.store.read(0, 10_000))


@pytest.fixture
def stream(cell: SmallCell, topic: Cell) -> Iterator[KafkaStream]:
    cell.register("node-1", cpus=4)
    relay_all(cell.store, cell.dsn, topic)
    with closing(KafkaStream(topic)) as stream:
        yield stream


def test_the_earliest_offset_changes_no_row(
    cell: SmallCell, topic: Cell, stream: KafkaStream
) -> None:
    projector = Projector(cell.connection, stream)
    work(cell, topic, 0)
    project(cell, projector, stream)
    stream._consumer.seek_to_beginning(topic.partition)
    work(cell, topic, 10)
    project(cell, projector, stream)


def step_on(projector: Projector, stream: KafkaStream) -> None:
    """Wait for what comes, and project it."""
    while not projector.step():
        stream.wait(0.5)


def test_the_latest_offset_is_refused_and_no_row_is_written_over_the_gap(
    cell: SmallCell, topic: Cell, stream: KafkaStream
) -> None:
    projector = Projector(cell.connection, stream)
    work(cell, topic, 0)
    project(cell, projector, stream)
    before, rows = view_positions(cell.connection), dump(cell.connection)
    work(cell, topic, 10)
    stream._consumer.seek_to_end(topic.partition)
    stream._consumer.position(topic.partition)
    work(cell, topic, 20)
    with pytest.raises(Conflict, match="log_gap"):
        step_on(projector, stream)
    assert (view_positions(cell.connection), dump(cell.connection)) == (before, rows)
    project(cell, projector, stream)


def test_a_group_that_changes_hands_the_log_on_without_a_hole(
    store: Store, dsn: str, topic: Cell
) -> None:
    """The second joins while the first reads, the first leaves: each event is seen once."""
    expected = add(store, 0, 300)
    relay_all(store, dsn, topic)

    def member() -> Any:
        return KafkaConsumer(
            topic.topic,
            bootstrap_servers=list(topic.servers),
            group_id="mine",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=50,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
        )

    dealt: list[int] = []

    def take(consumer: Any) -> None:
        for records in consumer.poll(200).values():
            for record in records:
                position = int(dict(record.headers)["ce_position"])
                if position > (dealt[-1] if dealt else 0):
                    dealt.append(position)
        if consumer.assignment():
            consumer.commit()

    first = member()
    for _ in range(GROUP_POLLS):
        take(first)
        if len(dealt) >= 100:
            break
    second = member()
    for _ in range(5):
        take(first)
        take(second)
    first.close(autocommit=False)
    expected += add(store, 300, 100)
    relay_all(store, dsn, topic)
    for _ in range(GROUP_POLLS):
        take(second)
        if len(dealt) >= 400:
            break
    second.close(autocommit=False)
    assert dealt == expected


BACKLOG, EVENT_BYTES = 24_000, 4_000
GROWTH = 40 << 20
"""What a reader may grow by over a backlog of 96 MB: two fetches, 1,000 events and their slack."""

SLOW = """
import json, sys
from infra.asyncapi import kinds
from infra.kafka import cell_of
from infra.kafka_stream import KafkaStream
from infra.settings import Settings

def peak():  # not getrusage: its figure is inherited from whoever started this
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

kinds()
cell, after, read = cell_of(Settings()), 0, 0
began = peak()
stream = KafkaStream(cell)
while read < int(sys.argv[1]):
    some = stream.read(after, 5)
    read += len(some)
    after = some[-1].position if some else after
    stream.wait(0.05)
print(json.dumps([began, peak()]))
"""


def test_a_slow_consumer_takes_no_more_memory_for_a_long_backlog(
    broker: Broker, topic: Cell
) -> None:
    make_topic(topic, 1)
    producer = topic.producer()
    data = {"project": "p", "description": "x" * EVENT_BYTES}
    envelope = {"actor": "a", "cause": "c", "correlation": "t", "project": None, "epoch": None}
    state = json.dumps({**envelope, "data": data}).encode()
    for n in range(1, BACKLOG + 1):
        row = Row(n, f"project/p-{n}", 1, "project.created.v1", state, 1_700_000_000_000_000 + n)
        message = to_message(row, n - 1, topic.source)
        producer.send(topic.topic, message.value, message.key, message.headers, 0)
    producer.flush()
    producer.close()
    growth = []
    for wanted in (500, BACKLOG // 2):
        done = subprocess.run(
            [sys.executable, "-c", SLOW, str(wanted)],
            env={"COMPUTE_KAFKA": broker.address, "COMPUTE_CELL": topic.source.split("/")[-1]},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        began, peak = json.loads(done.stdout)
        growth.append(peak - began)
    print(f"grew by {growth} bytes")
    assert max(growth) < GROWTH, f"grew by {growth} bytes over a backlog of 96 MB"
