"""Events: facts with a stable, versioned name, and the envelope they are recorded in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, NewType, TypeVar

StreamId = NewType("StreamId", str)
"""`kind/id`, for example `job/job-01jx...`; one stream per aggregate."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

State = TypeVar("State")
AnyEvent = TypeVar("AnyEvent", bound="Event")

_NAME = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*\.v[1-9][0-9]*")


class Event:
    """Base of every domain event; a subclass is a frozen dataclass with `name=`."""

    topic: ClassVar[str]

    def __init_subclass__(cls, *, name: str | None = None) -> None:
        if name is None:  # a grouping base, not an event of its own
            return
        if not _NAME.fullmatch(name):
            raise TypeError(f"event name {name!r} is not like 'job.placed.v1'")
        if name in _EVENTS or name in _UPCASTS:
            raise TypeError(f"event name {name!r} is taken")
        cls.topic = name
        _EVENTS[name] = cls


_EVENTS: dict[str, type[Event]] = {}
_UPCASTS: dict[str, tuple[str, Upcast]] = {}


def events() -> Mapping[str, type[Event]]:
    """Every event class by its current name."""
    return _EVENTS


def upcast(old: str, *, to: str) -> Callable[[Upcast], Upcast]:
    """Declare how the data of event `old`, no longer written, becomes data of `to`."""

    def declare(function: Upcast) -> Upcast:
        if old in _EVENTS or old in _UPCASTS:
            raise TypeError(f"event name {old!r} is taken")
        _UPCASTS[old] = (to, function)
        return function

    return declare


def current(name: str, data: dict[str, Any]) -> tuple[type[Event], dict[str, Any]]:
    """The class and data of a stored event after all its upcasts; KeyError if unknown."""
    while name in _UPCASTS:
        name, function = _UPCASTS[name]
        data = function(data)
    return _EVENTS[name], data


def fold(
    evolve: Callable[[State, AnyEvent], State], events: Iterable[AnyEvent], initial: State
) -> State:
    """The state after all the events."""
    state = initial
    for event in events:
        state = evolve(state, event)
    return state


class Meta(NamedTuple):
    """Who caused an event and for whom: the part of the envelope the writer states.

    `cause` is the event position (`event:42`) or command (`command:<id>`) that led to it.
    """

    actor: str
    cause: str
    correlation: str
    project: str | None = None


class Recorded(NamedTuple):
    """An event in its envelope, as read from the log.

    `position` orders the whole log and may have gaps; `version` counts from 1 in its stream
    without gaps; `recorded_at` is store time in microseconds since the epoch, never falling.
    A tuple, as `Meta` is: one is made for every event read, several times faster than a dataclass.
    """

    position: int
    stream: StreamId
    version: int
    recorded_at: int
    meta: Meta
    epoch: int | None
    event: Event


@dataclass(frozen=True)
class Change:
    """Events for one stream, the version they follow, and who caused them."""

    stream: StreamId
    version: int
    events: Sequence[Event]
    meta: Meta


def stream_of(kind: str, name: str) -> StreamId:
    """The stream of an aggregate, for example `job/job-01...`."""
    return StreamId(f"{kind}/{name}")
