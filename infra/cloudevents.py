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

from domain.event import Meta, Recorded, StreamId
from infra.codec import decode

CONTENT_TYPE = "application/json"
Headers = list[tuple[str, bytes]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_format = JSONFormat()


class BadRecord(ValueError):
    """A record that is no event of this cell: another program's, or of an unknown kind."""


@dataclass(frozen=True)
class Row:
    """A row of the log as it is stored; `recorded_at` in microseconds since the epoch."""

    position: int
    stream: str
    version: int
    name: str
    state: bytes
    recorded_at: int


class _State(msgspec.Struct, frozen=True):
    """What `infra.codec` keeps in `state`."""

    actor: str
    cause: str
    correlation: str
    project: str | None
    epoch: int | None
    data: msgspec.Raw


_states = msgspec.json.Decoder(_State)


@dataclass(frozen=True)
class Message:
    """What a record holds beyond its topic and offset; `key` is the stream id in UTF-8."""

    key: bytes
    value: bytes
    headers: Headers


def to_message(row: Row, previous: int, source: str) -> Message:
    """The record of a row that follows position `previous` in the log of `source`."""
    state = _states.decode(row.state)
    attributes = {
        "id": str(row.position),
        "source": source,
        "type": row.name,
        "specversion": "1.0",
        "time": _EPOCH + row.recorded_at * _MICROSECOND,
        "datacontenttype": CONTENT_TYPE,
        "subject": row.stream,
        "position": str(row.position),
        "previous": str(previous),
        "streamversion": str(row.version),
        "actor": state.actor,
        "cause": state.cause,
        "correlation": state.correlation,
    }
    if state.project is not None:
        attributes["project"] = state.project
    if state.epoch is not None:
        attributes["epoch"] = str(state.epoch)
    made = to_binary(CloudEvent(attributes, bytes(state.data)), _format)
    return Message(row.stream.encode(), made.value, list(made.headers.items()))


@dataclass(frozen=True)
class Received:
    """An event as it came from Kafka, its place in the log known, its data not yet decoded."""

    position: int
    previous: int
    headers: dict[str, bytes]
    value: bytes

    def recorded(self) -> Recorded:
        """The event, equal to what the log gives; BadRecord if this code cannot read it."""
        read = self.headers
        try:
            time = datetime.fromisoformat(read["ce_time"].decode())
            project, epoch = read.get("ce_project"), read.get("ce_epoch")
            return Recorded(
                self.position,
                StreamId(read["ce_subject"].decode()),
                int(read["ce_streamversion"]),
                (time - _EPOCH) // _MICROSECOND,
                Meta(
                    read["ce_actor"].decode(),
                    read["ce_cause"].decode(),
                    read["ce_correlation"].decode(),
                    None if project is None else project.decode(),
                ),
                None if epoch is None else int(epoch),
                decode(read["ce_type"].decode(), self.value),
            )
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise BadRecord(f"position {self.position}: {error!r}") from error


def received(headers: Sequence[tuple[str, bytes]], value: bytes | None, source: str) -> Received:
    """The event of a record; BadRecord if it is none of this source."""
    read = dict(headers)
    try:
        if read["ce_source"] != source.encode():
            raise BadRecord(f"ce_source is {read['ce_source']!r}, not {source!r}")
        if value is None:
            raise BadRecord("no value")
        return Received(int(read["ce_position"]), int(read["ce_previous"]), read, value)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadRecord):
            raise
        raise BadRecord(f"no event: {error!r}") from error
