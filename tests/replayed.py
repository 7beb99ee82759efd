"""Every log that a test's scheduler wrote is decided anew: nothing but the log may have a say."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from domain.consumer.consumer import stream_of_consumer
from domain.consumer.events import EventDiscarded
from domain.event import Recorded
from domain.scheduling.decide import ACTOR
from domain.scheduling.replay import Replay, Tally
from infra.codec import UnknownEvent

BATCH = 5000


def replay(read: Callable[[int, int], Sequence[Recorded]]) -> Tally:
    """The whole log, recomputed; it ends before an event that a test made unreadable.

    One that the scheduler was told to do without is passed over.
    """
    discarded = _discarded(read)
    replaying = Replay(discarded=discarded)
    for found in _reading(read, discarded):
        fine = replaying.pass_over(found) if isinstance(found, int) else replaying.feed([found])
        if not fine:
            break
    return replaying.finish()


def _reading(
    read: Callable[[int, int], Sequence[Recorded]], passed: Container[int]
) -> Iterator[Recorded | int]:
    """The log as far as it can be read, and the positions of what cannot and is `passed`."""
    position, limit = 0, BATCH
    while True:
        try:
            batch = read(position, limit)
        except UnknownEvent as error:
            limit //= 2
            if limit == 0:
                position, limit = error.poison.position, BATCH
                if position not in passed:
                    return
                yield position
            continue
        if not batch:
            return
        yield from batch
        position, limit = batch[-1].position, BATCH


def _discarded(read: Callable[[int, int], Sequence[Recorded]]) -> frozenset[int]:
    """What the scheduler passes over, by all of the log that can be read."""
    everything = range(2**62)
    return frozenset(
        found.event.position
        for found in _reading(read, everything)
        if isinstance(found, Recorded)
        and isinstance(found.event, EventDiscarded)
        and found.stream == stream_of_consumer(ACTOR)
    )


def check(read: Callable[[int, int], Sequence[Recorded]]) -> Tally:
    """AssertionError at the first decision that the log does not explain."""
    tally = replay(read)
    assert tally.difference is None, f"a decision cannot be recomputed: {tally.difference}"
    return tally
