"""Everything that can have been decided about a consumer of the log."""

from __future__ import annotations

from dataclasses import dataclass

from domain.event import Event, StreamId


@dataclass(frozen=True)
class EventDiscarded(Event, name="consumer.event_discarded.v1"):
    """The consumer passes over one event, now and whenever it reads the log anew.

    `version` and `event` (its name) say which event of the stream it is; `error` is what the
    consumer said of it.
    """

    stream: StreamId
    position: int
    version: int
    event: str
    error: str
    reason: str


ConsumerEvent = EventDiscarded
"""Any event on a consumer's stream."""
