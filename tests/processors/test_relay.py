"""The relay on a real Kafka: in log order, at least once, never a gap."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from itertools import count, pairwise

import pytest

from domain.errors import Conflict, Invalid, StaleWriter, Unavailable
from infra.kafka import Cell, cell_of
from infra.outbox import Anchor, Outbox
from infra.settings import Settings
from infra.store import Store
from infra.topic import Topic, TopicLost
from tests.processors.kafka_cell import (
    add,
    cell_on,
    delete_topic,
    make_topic,
    positions,
    records,
    relay,
    relay_all,
)
from tests.real_kafka import Broker, free_port

_numbers = count(1)


@pytest.fixture
def cell(broker: Broker) -> Cell:
    """A cell whose topic nobody has used."""
    return cell_on(broker.address, f"relay-{next(_numbers)}")


def test_the_log_is_relayed_in_order_each_record_with_its_place(
    store: Store, dsn: str, cell: Cell
) -> None:
    expected = [position for batch in range(3) for position in add(store, batch * 1000, 1000)]
    relay_all(store, dsn, cell)
    found = records(cell)
    assert positions(found) == expected
    previous = [int(dict(record.headers)["ce_previous"]) for record in found]
    assert previous == [0, *expected[:-1]]
    [event] = store.read(0, 1)
    assert found[0].key == event.stream.encode()
    assert found[0].timestamp == event.recorded_at // 1000
    assert json.loads(found[0].value) == {"project": "p-0", "description": ""}
    assert {record.partition for record in found} == {0}


def test_a_relay_goes_on_where_the_last_one_was(store: Store, dsn: str, cell: Cell) -> None:
    expected = add(store, 0, 10)
    relay_all(store, dsn, cell)
    expected += add(store, 10, 10)
    relay_all(store, dsn, cell)
    assert positions(records(cell)) == expected


def test_a_relay_that_died_before_it_noted_its_position_repeats_and_skips_nothing(
    store: Store, dsn: str, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = add(store, 0, 10)
    with relay(store, dsn, cell) as running:
        assert running.step() == 10
        again = add(store, 10, 5)
        with monkeypatch.context() as patch:
            patch.setattr("infra.outbox.Outbox.advance", _dies)
            with pytest.raises(RuntimeError, match="killed"):
                running.step()
    relay_all(store, dsn, cell)
    assert positions(records(cell)) == expected + again + again


def _dies(*_: object) -> None:
    raise RuntimeError("killed")


def test_a_relay_that_lost_the_leadership_notes_nothing(store: Store, dsn: str, cell: Cell) -> None:
    expected = add(store, 0, 3)
    with relay(store, dsn, cell) as old, relay(store, dsn, cell) as new:
        with pytest.raises(StaleWriter):
            old.step()
        new.step()
    relay_all(store, dsn, cell)
    assert positions(records(cell)) == expected + expected


def test_a_topic_that_was_deleted_is_filled_again(
    store: Store, dsn: str, cell: Cell, caplog: pytest.LogCaptureFixture
) -> None:
    expected = add(store, 0, 10)
    with relay(store, dsn, cell) as running:
        running.step()
        delete_topic(cell)
        make_topic(cell, 1)
        with pytest.raises(TopicLost):
            running._topic.check(running.anchor)
        expected += add(store, 10, 1)
        with pytest.raises(TopicLost):  # the new record got an offset that had been given before
            running.step()
    with caplog.at_level(logging.WARNING):
        relay_all(store, dsn, cell)
    found = positions(records(cell))
    assert found[-len(expected) :] == expected
    assert "the topic holds the log up to" in caplog.text


def test_a_topic_that_lost_its_end_is_filled_from_there(
    store: Store, dsn: str, cell: Cell, broker: Broker
) -> None:
    expected = add(store, 0, 10)
    relay_all(store, dsn, cell)
    other = cell_on(broker.address, "relay-shorter")
    short = records(cell)[:6]
    make_topic(other, 1)
    producer = other.producer()
    for record in short:
        headers = [(n, v) for n, v in record.headers if n != "ce_source"]
        headers.append(("ce_source", other.source.encode()))
        producer.send(other.topic, record.value, record.key, headers, 0)
    producer.close()
    store._query(
        "UPDATE relay_positions SET topic = %s WHERE topic = %s RETURNING position",
        (other.topic, cell.topic),
    )
    relay_all(store, dsn, other)
    assert positions(records(other)) == expected


def test_a_topic_of_another_log_is_refused(store: Store, dsn: str, cell: Cell) -> None:
    add(store, 0, 3)
    relay_all(store, dsn, cell)
    store._query("DELETE FROM stored_events RETURNING 1")
    add(store, 0, 9)
    with pytest.raises(Conflict, match="foreign_topic"):
        relay_all(store, dsn, cell)


def test_a_relay_does_not_go_on_from_what_its_log_lost(store: Store, dsn: str, cell: Cell) -> None:
    """It led before the failover and did not notice: its next record must not follow a lost one."""
    add(store, 0, 3)
    with relay(store, dsn, cell) as running:
        running.step()
        lost = add(store, 3, 3)
        running.step()
        store._query(
            "DELETE FROM stored_events WHERE notification_id >= %s RETURNING 1", (lost[0],)
        )
        add(store, 6, 3)
        with pytest.raises(Conflict, match="foreign_topic"):
            running.step()
    assert positions(records(cell))[-1] == lost[-1], "nothing was written behind it"


def test_what_a_stale_relay_wrote_of_a_lost_log_is_refused_by_who_leads(
    store: Store, dsn: str, cell: Cell
) -> None:
    """It stood still with rows in its hands while a standby that never had them took over."""
    kept = add(store, 0, 3)
    relay_all(store, dsn, cell)
    lost = add(store, 3, 3)
    with closing(Outbox(dsn, cell.topic)) as outbox, closing(Topic(cell)) as topic:
        rows = outbox.rows(kept[-1], 10)
        store._query(
            "DELETE FROM stored_events WHERE notification_id >= %s RETURNING 1", (lost[0],)
        )
        with relay(store, dsn, cell) as leads:
            topic.publish(rows, outbox.anchor())
            add(store, 6, 3)
            with pytest.raises(Conflict, match="foreign_topic"):
                leads.step()
        assert outbox.anchor().position == kept[-1], "or the next would not look again"
        with pytest.raises(Conflict, match="foreign_topic"):
            relay_all(store, dsn, cell)


def test_what_lies_before_the_last_event_is_held_against_the_log_too(
    store: Store, dsn: str, cell: Cell
) -> None:
    kept, lost = add(store, 0, 3), add(store, 3, 3)
    relay_all(store, dsn, cell)
    store._query("DELETE FROM stored_events WHERE notification_id >= %s RETURNING 1", (lost[0],))
    store._query("DELETE FROM relay_positions RETURNING 1")
    with closing(Outbox(dsn, cell.topic)) as outbox, closing(Topic(cell)) as topic:
        topic.publish(outbox.rows(kept[1], 1), Anchor(kept[1], 1))  # a repeat, and the last one
    with pytest.raises(Conflict, match="foreign_topic"):
        relay_all(store, dsn, cell)


def test_a_topic_of_several_partitions_is_refused(store: Store, dsn: str, cell: Cell) -> None:
    make_topic(cell, 2)
    with pytest.raises(Invalid, match="topic_partitions"):
        relay_all(store, dsn, cell)


def test_brokers_that_are_away_are_said_as_unavailable(store: Store, dsn: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=address):
        relay_all(store, dsn, cell_on(address, "away"))


def test_positions_may_have_holes_and_the_previous_ones_still_chain(
    store: Store, dsn: str, cell: Cell
) -> None:
    add(store, 0, 5)
    store._query("SELECT nextval('stored_events_notification_id_seq')")  # as after a rollback
    add(store, 5, 5)
    relay_all(store, dsn, cell)
    found = records(cell)
    assert any(b - a > 1 for a, b in pairwise(positions(found)))
    links = [dict(record.headers)["ce_previous"] for record in found]
    assert links[1:] == [dict(record.headers)["ce_position"] for record in found[:-1]]


@pytest.mark.parametrize(
    ("kafka", "cell", "named"),
    [
        ("localhost", "main", "COMPUTE_KAFKA"),
        ("", "main", "COMPUTE_KAFKA"),
        ("a:1,b:70000", "main", "COMPUTE_KAFKA"),
        ("a:1", "No Label", "COMPUTE_CELL"),
        ("a:1", "", "COMPUTE_CELL"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(kafka: str, cell: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        cell_of(Settings(kafka=kafka, cell=cell))
