"""Events on Kafka: CloudEvents 1.0 in binary mode, written by the `cloudevents` package.

The value is the event's data exactly as the log stores it; all else is in headers. `previous`,
the position of the event before in the log, shows a reader that nothing is missing, although
positions may have gaps. Reading goes by the headers directly: it is the hot path of every consumer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from domain.errors import Conflict
from domain.event import Meta, Recorded, StreamId
from infra.codec import FAULTS, Envelope, Poison, UnknownEvent, decode, said
from infra.outbox import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_envelopes = msgspec.json.Decoder(Envelope[msgspec.Raw])
_format = JSONFormat()


def _instant(text: str) -> int:
    """Microseconds since the epoch."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


class Stranger(ValueError):
    """A record that is no event of this cell."""


@dataclass(frozen=True)
class Message:
    """What a record holds beyond its topic and offset; `key` is the stream id in UTF-8."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def to_message(row: Row, previous: int, source: str) -> Message:
    """The record of a row that follows position `previous` in the log of `source`."""
    envelope = _envelopes.decode(row.state)
    attributes = {
        "id": str(row.position),
        "source": source,
        "type": row.name,
        "specversion": "1.0",
        "time": _EPOCH + row.recorded_at * _MICROSECOND,
        "datacontenttype": "application/json",
        "subject": row.stream,
        "position": str(row.position),
        "previous": str(previous),
        "streamversion": str(row.version),
        "actor": envelope.actor,
        "cause": envelope.cause,
        "correlation": envelope.correlation,
    }
    if envelope.project is not None:
        attributes["project"] = envelope.project
    if envelope.epoch is not None:
        attributes["epoch"] = str(envelope.epoch)
    made = to_binary(CloudEvent(attributes, bytes(envelope.data)), _format)
    return Message(row.stream.encode(), made.value, list(made.headers.items()))


@dataclass(frozen=True)
class Received:
    """An event as it came from Kafka, its place in the log known, the rest not yet decoded."""

    position: int
    previous: int
    headers: dict[str, bytes]
    value: bytes

    def is_of(self, row: Row) -> bool:
        """Whether this is the event of this row of the log."""
        read = self.headers
        try:
            return (
                self.position == row.position
                and read["ce_subject"] == row.stream.encode()
                and int(read["ce_streamversion"]) == row.version
                and _instant(read["ce_time"].decode()) == row.recorded_at
            )
        except (KeyError, TypeError, ValueError):
            return False

    def recorded(self) -> Recorded:
        """The event, equal to what the log gives; UnknownEvent if this code cannot read it."""
        text = {name: value.decode() for name, value in self.headers.items()}
        try:
            return Recorded(
                self.position,
                StreamId(text["ce_subject"]),
                int(text["ce_streamversion"]),
                _instant(text["ce_time"]),
                Meta(
                    text["ce_actor"],
                    text["ce_cause"],
                    text["ce_correlation"],
                    text.get("ce_project"),
                ),
                int(text["ce_epoch"]) if "ce_epoch" in text else None,
                decode(text["ce_type"], self.value),
            )
        except FAULTS as error:
            raise UnknownEvent(self._poison(said(error))) from error

    def _poison(self, error: str) -> Poison:
        """What of it can be told even where its headers are broken."""

        def text(name: str) -> str:
            return self.headers.get(name, b"").decode(errors="replace")

        version = text("ce_streamversion")
        return Poison(
            StreamId(text("ce_subject")),
            self.position,
            int(version) if version.isascii() and version.isdigit() else 0,
            text("ce_type"),
            error,
        )


def foreign(topic: str, position: int) -> Conflict:
    """What to raise where the log does not hold this event of its topic."""
    return Conflict(
        "foreign_topic",
        f"topic {topic} holds position {position} with an event that this log does not"
        " hold there: the log was brought back from an older backup or a standby behind it, or"
        " two cells have one name. Delete the topic (it is filled again from the log) or set"
        " another COMPUTE_CELL",
    )


def received(headers: Sequence[tuple[str, bytes]], value: bytes | None, source: str) -> Received:
    """The event of a record; Stranger if it is none of this source."""
    read = dict(headers)
    if read.get("ce_source") != source.encode() or value is None:
        raise Stranger(f"its source is {read.get('ce_source')!r}, not {source!r}")
    try:
        return Received(int(read["ce_position"]), int(read["ce_previous"]), read, value)
    except (KeyError, ValueError) as error:
        raise Stranger(f"it has no place in the log: {error!r}") from error
