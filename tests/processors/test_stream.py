"""The port `EventStream`: one behaviour, on the log itself and through Kafka."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from domain.event import Recorded
from infra.codec import UnknownEvent
from infra.follow import Bell, PostgresStream
from infra.kafka_stream import KafkaStream
from infra.store import Store
from processors.stream import EventStream
from tests.processors.kafka_cell import add, cell_on, relay_all

_numbers = count(1)
MANY_SECONDS = 60


@dataclass(frozen=True)
class Way:
    """A way to follow the log: opens streams, and brings what was appended to where they read."""

    open: Callable[[], EventStream]
    deliver: Callable[[], None]


@pytest.fixture(params=["postgres", "kafka"])
def way(request: pytest.FixtureRequest, store: Store, dsn: str) -> Iterator[Way]:
    """Each implementation of the port."""
    with ExitStack() as stack:

        def opened(stream: Any) -> EventStream:
            stack.callback(stream.close)
            kept: EventStream = stream
            return kept

        if request.param == "postgres":
            yield Way(lambda: opened(PostgresStream(store, Bell(dsn))), lambda: None)
        else:
            broker = request.getfixturevalue("broker")
            cell = cell_on(broker.address, f"stream-{next(_numbers)}")
            relay_all(store, dsn, cell)
            yield Way(lambda: opened(KafkaStream(cell)), lambda: relay_all(store, dsn, cell))


def follow(stream: EventStream, after: int, wanted: int, limit: int = 1000) -> list[Recorded]:
    """What a reader gets until it has as many as wanted."""
    found: list[Recorded] = []
    deadline = time.monotonic() + MANY_SECONDS
    while len(found) < wanted:
        assert time.monotonic() < deadline, f"{len(found)} of {wanted}"
        some = stream.read(after, limit)
        assert len(some) <= limit
        found += some
        after = some[-1].position if some else after
        if not some:
            stream.wait(0.5)
    return found


def test_it_gives_the_log_whole_in_order_and_then_nothing(way: Way, store: Store) -> None:
    for batch in range(5):
        add(store, batch * 500, 500)
    way.deliver()
    stream = way.open()
    found = follow(stream, 0, 2500, limit=300)
    assert found == store.read(0, 5000)
    stream.wait(0.1)
    assert stream.read(found[-1].position, 10) == []


def test_it_goes_on_with_what_is_appended_later(way: Way, store: Store) -> None:
    stream = way.open()
    assert stream.read(0, 10) == []
    after = 0
    for batch in range(3):
        expected = add(store, batch * 10, 10)
        way.deliver()
        assert [e.position for e in follow(stream, after, 10)] == expected
        after = expected[-1]


def test_it_resumes_from_any_position(way: Way, store: Store) -> None:
    add(store, 0, 40)
    store._query("SELECT nextval('stored_events_notification_id_seq')")
    positions = add(store, 40, 1) + add(store, 41, 60)
    way.deliver()
    everything = store.read(0, 1000)
    for after in (0, 1, 17, 40, 41, positions[0], positions[-2]):
        expected = [event for event in everything if event.position > after]
        assert follow(way.open(), after, len(expected)) == expected


def test_one_reader_may_go_back_and_forth(way: Way, store: Store) -> None:
    positions = add(store, 0, 50)
    way.deliver()
    stream = way.open()
    for index in (40, 10, 30, 0):
        [event] = follow(stream, positions[index], 1, limit=1)
        assert event.position == positions[index + 1]


def test_readers_do_not_disturb_each_other(way: Way, store: Store) -> None:
    positions = add(store, 0, 30)
    way.deliver()
    one, two = way.open(), way.open()
    first, second = [0], [0]
    while len(first) < 31 or len(second) < 31:
        first += [e.position for e in one.read(first[-1], 3)]
        second += [e.position for e in two.read(second[-1], 7)]
        one.wait(0.05)
        two.wait(0.05)
    assert first[1:] == second[1:] == positions


def test_a_slow_reader_holds_little_of_a_long_backlog(way: Way, store: Store) -> None:
    for batch in range(20):
        add(store, batch * 500, 500, text="x" * 4000)
    way.deliver()
    stream = way.open()
    tracemalloc.start()
    try:
        [first] = follow(stream, 0, 1, limit=1)
        for _ in range(20):  # as a reader does that is busy with other things
            follow(stream, first.position, 5, limit=5)
            stream.wait(0.05)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20, f"{peak} bytes of a backlog of 40 MB"


def make_unreadable(store: Store, position: int) -> None:
    """Let a recorded event bear a name that nobody knows."""
    store._query(
        "UPDATE stored_events SET topic = 'no.such.v1' WHERE notification_id = %s RETURNING 1",
        (position,),
    )


def test_an_event_it_cannot_read_is_refused_every_time_and_never_skipped(
    way: Way, store: Store
) -> None:
    positions = add(store, 0, 3)
    make_unreadable(store, positions[1])
    way.deliver()
    stream = way.open()
    assert [e.position for e in follow(stream, 0, 1, limit=1)] == positions[:1]
    for _ in range(2):
        with pytest.raises(UnknownEvent, match=f"position {positions[1]}"):
            follow(stream, positions[0], 1)


def test_what_comes_before_an_event_it_cannot_read_is_given(way: Way, store: Store) -> None:
    """Who is told of the bad one goes on behind it: what came before must not go with it."""
    positions = add(store, 0, 4)
    make_unreadable(store, positions[2])
    way.deliver()
    stream = way.open()
    assert [e.position for e in follow(stream, 0, 2)] == positions[:2]
    with pytest.raises(UnknownEvent, match=f"position {positions[2]}"):
        follow(stream, positions[1], 1)
    assert [e.position for e in follow(stream, positions[2], 1)] == positions[3:]


def test_it_wakes_a_reader_that_waits(way: Way, store: Store) -> None:
    stream = way.open()
    assert stream.read(0, 10) == []
    add(store, 0, 1)
    way.deliver()
    assert len(follow(stream, 0, 1)) == 1
