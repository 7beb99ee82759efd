"""Every log that a test's scheduler wrote is decided anew: nothing but the log may have a say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from domain.consumer.consumer import stream_of_consumer
from domain.consumer.events import EventDiscarded
from domain.event import Recorded
from domain.scheduling.decide import ACTOR
from domain.scheduling.replay import Replay, Tally
from infra.codec import UnknownEvent

BATCH = 5000


def replay(read: Callable[[int, int], Sequence[Recorded]]) -> Tally:
    """The whole log, recomputed; it ends before an event that a test made unreadable."""
    replaying, position = Replay(discarded=_discarded(read)), 0
    with suppress(UnknownEvent):
        while batch := read(position, BATCH):
            position = batch[-1].position
            if not replaying.feed(batch):
                break
    return replaying.finish()


def _discarded(read: Callable[[int, int], Sequence[Recorded]]) -> frozenset[int]:
    """What the scheduler passes over, by all of the log that can be read."""
    found, position = set[int](), 0
    with suppress(UnknownEvent):
        while batch := read(position, BATCH):
            position = batch[-1].position
            found |= {
                r.event.position
                for r in batch
                if isinstance(r.event, EventDiscarded) and r.stream == stream_of_consumer(ACTOR)
            }
    return frozenset(found)


def check(read: Callable[[int, int], Sequence[Recorded]]) -> Tally:
    """AssertionError at the first decision that the log does not explain."""
    tally = replay(read)
    assert tally.difference is None, f"a decision cannot be recomputed: {tally.difference}"
    return tally
