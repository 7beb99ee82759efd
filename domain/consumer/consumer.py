"""The consumer aggregate: one stream for each, `consumer/<name>`; read models are consumers too."""

from __future__ import annotations

from dataclasses import dataclass

from domain.consumer.events import ConsumerEvent, EventDiscarded
from domain.errors import Conflict, Invalid
from domain.event import StreamId

MAX_REASON = 1000


@dataclass(frozen=True)
class Consumer:
    """The positions it passes over."""

    discarded: frozenset[int] = frozenset()


def stream_of_consumer(name: str) -> StreamId:
    """The stream of what was decided about the consumer."""
    return StreamId(f"consumer/{name}")


def evolve(consumer: Consumer, event: ConsumerEvent) -> Consumer:
    """The consumer after the event."""
    return Consumer(consumer.discarded | {event.position})


def discard(consumer: Consumer, wish: EventDiscarded) -> list[ConsumerEvent]:
    """Pass over an event that holds its stream up. It needs a reason, as nothing undoes it."""
    if not wish.reason.strip():
        raise Invalid("no_reason", "say why the event may be passed over", field="reason")
    if len(wish.reason) > MAX_REASON:
        raise Invalid("too_large", f"at most {MAX_REASON} characters", field="reason")
    if wish.position in consumer.discarded:
        raise Conflict("already_discarded", f"the event at {wish.position} was discarded before")
    return [wish]
