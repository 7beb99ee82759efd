"""Events to and from stored rows: plain JSON anyone can read, exact both ways."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from eventsourcing.persistence import StoredEvent

import domain.allocation.events
import domain.checkpoint.events
import domain.consumer.events
import domain.job.events
import domain.node.events
import domain.policy.events
import domain.project.events
import domain.reservation.events
import domain.scheduling.events
import domain.token.events  # noqa: F401  # whoever reads a log meets all of them
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


Data = TypeVar("Data")


class Envelope(msgspec.Struct, Generic[Data], frozen=True):
    """What a row's `state` holds; `data` is the event, or its own JSON."""

    actor: str
    cause: str
    correlation: str
    project: str | None
    epoch: int | None
    data: Data


_encoder = msgspec.json.Encoder()
_unread = msgspec.json.Decoder(Envelope[msgspec.Raw])


@dataclass(frozen=True)
class _Decoders:
    """Of the rows of an event, and of its data alone."""

    row: msgspec.json.Decoder[Envelope[Any]]
    data: msgspec.json.Decoder[Event]


_decoders: dict[str, _Decoders] = {}
_new = tuple.__new__
"""Makes a named tuple as its class does, twice as fast."""


def _current(name: str) -> _Decoders | None:
    """The decoders of a current name, None for any other."""
    found = _decoders.get(name)
    if found is None:
        kind: Any = domain_event.events().get(name)
        if kind is not None:
            row, data = msgspec.json.Decoder(Envelope[kind]), msgspec.json.Decoder(kind)
            found = _decoders[name] = _Decoders(row, data)
    return found


# All at once, before there are threads: what msgspec knows of a class is shown to others while it
# is being made, and a thread that decodes by it then crashes the process.
for _name in domain_event.events():
    _current(_name)


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


class Passed(Event):
    """In the place of an event that its reader is not about."""


_PASSED = Passed()
_NOBODY = Meta("", "", "")


def from_stored_of(names: Collection[str], row: tuple[int, str, int, str, bytes, int]) -> Recorded:
    """The event of a row; those of current names that are not among these are left unread."""
    position, stream, version, name, _, recorded_at = row
    if name in names or name not in domain_event.events():
        return from_stored(*row)
    return Recorded(position, StreamId(stream), version, recorded_at, _NOBODY, None, _PASSED)


def from_stored(
    position: int, stream: str, version: int, name: str, state: bytes, recorded_at: int
) -> Recorded:
    """The event of a row, upcast to the current version; UnknownEvent if that cannot be done."""
    try:
        current = _decoders.get(name) or _current(name)
        if current is not None:  # in one go: reading a log is mostly this
            read = current.row.decode(state)
            event: Event = read.data
        else:
            read = _unread.decode(state)
            event = decode(name, read.data)
    except FAULTS as error:
        raise UnknownEvent(
            Poison(StreamId(stream), position, version, name, said(error))
        ) from error
    meta = _new(Meta, (read.actor, read.cause, read.correlation, read.project))
    values = (position, StreamId(stream), version, recorded_at, meta, read.epoch, event)
    return _new(Recorded, values)


def decode(name: str, data: bytes | msgspec.Raw) -> Event:
    """The event of a name and its JSON data; KeyError or msgspec.ValidationError."""
    current = _current(name)
    if current is not None:
        return current.data.decode(data)
    kind, upcast = domain_event.current(name, msgspec.json.decode(data))
    return msgspec.convert(upcast, kind)


def to_builtins(value: object) -> Any:
    """A value as plain dicts, lists, strings and numbers, as it stands in the stored JSON."""
    return msgspec.to_builtins(value)
