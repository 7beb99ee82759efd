"""Events as CloudEvents on Kafka: exact both ways, readable by others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from domain.event import Meta, Recorded
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.cloudevents import Stranger, received, to_message
from infra.codec import UnknownEvent, from_stored, to_stored
from infra.outbox import Row
from infra.store import stream_of
from tests.golden import histories

SOURCE = "/compute/cells/main"
STREAM = stream_of("project", "ml")
texts = st.text(st.characters(codec="utf-8"), min_size=1)


def row(position: int, at: int, meta: Meta, epoch: int | None, text: str) -> Row:
    stored: StoredEvent = to_stored(STREAM, 1, Created(ProjectId("ml"), text), meta, epoch)
    return Row(position, STREAM, 1, stored.topic, stored.state, at)


FIRST = row(9, 1_790_000_000_000_000, Meta("ada", "command:1", "trace-1"), None, "a")


@given(
    st.integers(1, 2**63 - 1),
    st.integers(0, 250_000_000_000_000_000),
    st.builds(Meta, texts, texts, texts, st.none() | texts),
    st.none() | st.integers(1, 2**63 - 1),
    st.text(st.characters(codec="utf-8")),
)
def test_an_event_comes_back_from_kafka_as_it_comes_from_the_log(
    position: int, at: int, meta: Meta, epoch: int | None, text: str
) -> None:
    stored = row(position, at, meta, epoch, text)
    message = to_message(stored, position - 1, SOURCE)
    event = received(message.headers, message.value, SOURCE)
    assert (event.position, event.previous) == (position, position - 1)
    assert event.recorded() == read(stored)
    assert event.is_of(stored)


@pytest.mark.parametrize("path", histories.recorded(), ids=lambda path: path.name)
def test_whole_histories_come_back_as_they_come_from_the_log(path: Path) -> None:
    _, events = histories.load(path)
    for each in events:
        stored = to_stored(each.stream, each.version, each.event, each.meta, each.epoch)
        at = each.recorded_at
        written = Row(each.position, each.stream, each.version, stored.topic, stored.state, at)
        message = to_message(written, each.position - 1, SOURCE)
        assert received(message.headers, message.value, SOURCE).recorded() == each


def read(stored: Row) -> Recorded:
    return from_stored(
        stored.position,
        stored.stream,
        stored.version,
        stored.name,
        stored.state,
        stored.recorded_at,
    )


def test_the_standard_library_of_cloudevents_reads_the_record() -> None:
    message = to_message(FIRST, 7, SOURCE)
    event = from_binary(
        KafkaMessage(dict(message.headers), message.key, message.value), JSONFormat()
    )
    assert message.key == b"project/ml"
    assert event.get_id() == "9"
    assert event.get_type() == "project.created.v1"
    assert event.get_subject() == "project/ml"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("position") == "9"
    assert event.get_data() == json.loads(message.value) == json.loads(FIRST.state)["data"]


def test_a_record_of_another_source_or_without_a_place_is_a_stranger() -> None:
    message = to_message(FIRST, 7, SOURCE)
    some = [header for header in message.headers if header[0] != "ce_previous"]
    for headers, value, source in (
        (message.headers, message.value, "/compute/cells/other"),
        ([], b"x", SOURCE),
        (some, message.value, SOURCE),
        (message.headers, None, SOURCE),
    ):
        with pytest.raises(Stranger):
            received(headers, value, source)


def test_an_event_of_unknown_name_is_refused_with_its_position() -> None:
    message = to_message(FIRST, 7, SOURCE)
    headers = [h for h in message.headers if h[0] != "ce_type"] + [("ce_type", b"x.y.v1")]
    with pytest.raises(UnknownEvent, match="position 9"):
        received(headers, message.value, SOURCE).recorded()


def test_another_event_at_the_same_position_is_told_apart() -> None:
    message = to_message(FIRST, 7, SOURCE)
    event = received(message.headers, message.value, SOURCE)
    later = row(9, FIRST.recorded_at + 1, Meta("ada", "command:1", "trace-1"), None, "a")
    assert not event.is_of(later)
