"""Moments of the log, named by position or time, and the log as far as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from domain.consumer import consumer as consumers
from domain.consumer.consumer import Consumer, stream_of_consumer
from domain.errors import Invalid
from domain.event import Recorded
from domain.scheduling.decide import ACTOR
from domain.scheduling.snapshot import Snapshot
from domain.values.time import from_datetime
from infra.codec import UnknownEvent
from infra.follow import read_to_bad
from infra.moments import Connection, at_time
from infra.snapshots import Snapshots
from infra.store import Log

BATCH = 5000
Tell = Callable[[int], None]
"""Hears how far the reading has come."""


def position_of(connection: Connection, moment: str | None, field: str, otherwise: int) -> int:
    """The position a moment means: itself, or that of the last event recorded by that time."""
    if moment is None or moment == "":
        return otherwise
    if moment.isascii() and moment.isdigit() and int(moment) < 2**63:
        return int(moment)
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Invalid(
            "bad_moment",
            f"{field}: a position of the log, or a time with its zone: 2026-11-24T08:00:00Z",
            field=field,
        )
    return at_time(connection, from_datetime(at)).position


def whole(log: Log, position: int) -> int:
    """The position, or the last one recorded in the same moment: there a transaction has ended.

    In the middle of one the cell was never seen by anybody.
    """
    if position <= 0 or not (found := log.read(position - 1, 1)):
        return position
    at = found[0].recorded_at
    while batch := log.read(position, BATCH):
        for recorded in batch:
            if recorded.recorded_at != at:
                return position
            position = recorded.position
    return position


def discarded_by_scheduler(log: Log) -> frozenset[int]:
    """The positions that the scheduler passes over, by all of the log."""
    state, _ = log.load(stream_of_consumer(ACTOR), consumers.evolve, Consumer())
    return state.discarded


def events(log: Log, after: int, until: int, tell: Tell = lambda _: None) -> Iterator[Recorded]:
    """The events with positions above `after` up to `until` that are not discarded."""
    discarded = discarded_by_scheduler(log)
    while after < until:
        try:
            batch = read_to_bad(log.read, after, BATCH)
        except UnknownEvent as error:
            after = error.poison.position
            if after in discarded or after > until:
                continue
            raise
        if not batch:
            return
        for recorded in batch:
            if recorded.position > until:
                return
            if recorded.position not in discarded:
                yield recorded
        after = batch[-1].position
        tell(after)


def folded(log: Log, kept: Snapshots, until: int, tell: Tell = lambda _: None) -> Snapshot:
    """The scheduler's snapshot as of this position."""
    snapshot = kept.newest(until)
    for recorded in events(log, snapshot.position, until, tell):
        snapshot.apply(recorded)
    return snapshot
