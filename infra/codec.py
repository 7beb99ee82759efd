"""Events to and from stored rows: plain JSON anyone can read, exact both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from eventsourcing.persistence import StoredEvent

import domain.scheduling.events  # noqa: F401  # whoever reads a log meets receipts
from domain import event as domain_event
from domain.errors import Refusal
from domain.event import Event, Meta, Recorded, StreamId

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    Refusal,
)
"""What reading or folding an event raises where it or our code is at fault, not the weather."""
ERROR_LENGTH = 500


@dataclass(frozen=True)
class Poison:
    """An event that could not be taken, and why."""

    stream: StreamId
    position: int
    version: int
    name: str
    error: str


class UnknownEvent(ValueError):
    """A stored event that this code cannot read, or cannot fold."""

    def __init__(self, poison: Poison) -> None:
        super().__init__(f"position {poison.position}: {poison.name}: {poison.error}")
        self.poison = poison


def poison(recorded: Recorded, error: BaseException) -> Poison:
    """The event as one that could be read, but not folded."""
    return Poison(
        recorded.stream, recorded.position, recorded.version, recorded.event.topic, said(error)
    )


def said(error: BaseException) -> str:
    """What an exception says, short enough to be kept and listed."""
    return f"{type(error).__name__}: {error}"[:ERROR_LENGTH].replace("\0", "")


class Envelope(msgspec.Struct, frozen=True):
    """What a row's `state` holds; `data` is the event's own JSON."""

    actor: str
    cause: str
    correlation: str
    project: str | None
    epoch: int | None
    data: msgspec.Raw


_envelopes = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[Event]) -> msgspec.json.Decoder[Any]:
    decoder = _decoders.get(kind.topic)
    if decoder is None:
        decoder = _decoders[kind.topic] = msgspec.json.Decoder(kind)
    return decoder


def to_stored(
    stream: StreamId, version: int, event: Event, meta: Meta, epoch: int | None
) -> StoredEvent:
    """The row of an event: its name as topic, the rest of the envelope and data as JSON."""
    state = _encoder.encode(
        {
            "actor": meta.actor,
            "cause": meta.cause,
            "correlation": meta.correlation,
            "project": meta.project,
            "epoch": epoch,
            "data": event,
        }
    )
    return StoredEvent(stream, version, event.topic, state)


def from_stored(
    position: int, stream: str, version: int, name: str, state: bytes, recorded_at: int
) -> Recorded:
    """The event of a row, upcast to the current version; UnknownEvent if that cannot be done."""
    try:
        envelope = _envelopes.decode(state)
        event = decode(name, envelope.data)
    except FAULTS as error:
        raise UnknownEvent(
            Poison(StreamId(stream), position, version, name, said(error))
        ) from error
    meta = Meta(envelope.actor, envelope.cause, envelope.correlation, envelope.project)
    return Recorded(position, StreamId(stream), version, recorded_at, meta, envelope.epoch, event)


def decode(name: str, data: bytes | msgspec.Raw) -> Event:
    """The event of a name and its JSON data; KeyError or msgspec.ValidationError."""
    kind = domain_event.events().get(name)
    if kind is None:  # an older version, or unknown
        kind, upcast = domain_event.current(name, msgspec.json.decode(data))
        return msgspec.convert(upcast, kind)
    event: Event = _decoder(kind).decode(data)
    return event


def to_builtins(value: object) -> Any:
    """A value as plain dicts, lists, strings and numbers, as it stands in the stored JSON."""
    return msgspec.to_builtins(value)
