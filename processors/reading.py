"""How the scheduler reads the log: what it cannot read it decides nothing on.

docs/decisions/0010-poison-events.md says why.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from domain.consumer import consumer as consumers
from domain.consumer.consumer import Consumer, stream_of_consumer
from domain.errors import Conflict
from domain.event import Recorded
from domain.scheduling.holdout import hold_out
from domain.scheduling.snapshot import Snapshot
from infra import quarantine
from infra.codec import FAULTS, Poison, UnknownEvent, poison
from infra.quarantine import Connection
from infra.store import Log
from processors.stream import EventStream

BATCH = 5000
FOLDED_WHOLE = ("job", "node")
"""Kinds of streams whose event changes nothing in the snapshot where it cannot be folded."""


class StandsStill(Conflict):
    """An event cannot be read that every decision may rest on."""


class Again(Conflict):
    """Somebody asked that what cannot be read be tried anew."""


class Quarantine(Protocol):
    """The port to what one consumer holds back, as others see it."""

    def enter(self, bad: Poison, *, stops: bool = False) -> None:
        """Say that the stream is held back from this event on, or that all stands still there."""

    def keep_only(self, streams: Collection[str]) -> None:
        """All other streams are held back no more."""

    def retry_asked(self) -> bool:
        """Whether somebody wants what is held back tried again."""


class PostgresQuarantine:
    """The port `Quarantine` on a connection to the cell's database."""

    def __init__(self, connection: Connection, consumer: str) -> None:
        self._connection = connection
        self._consumer = consumer

    def enter(self, bad: Poison, *, stops: bool = False) -> None:
        """Hold the stream back from this event on."""
        quarantine.enter(self._connection, self._consumer, bad, stops=stops)

    def keep_only(self, streams: Collection[str]) -> None:
        """All other streams are held back no more."""
        quarantine.keep_only(self._connection, self._consumer, streams)

    def retry_asked(self) -> bool:
        """Whether somebody wants what is held back tried again."""
        return quarantine.retry_asked(self._connection, self._consumer)


class Reading:
    """One leader's way through the log into its snapshot."""

    def __init__(self, store: Log, stream: EventStream, name: str, ward: Quarantine | None) -> None:
        """Without a `ward` whatever cannot be read ends the reading."""
        self._stream = stream
        self._ward = ward
        state, _ = store.load(stream_of_consumer(name), consumers.evolve, Consumer())
        self._discarded = state.discarded
        self._bad: list[str] | None = []  # streams met that are bad; None once it came to the end

    def follow(self, snapshot: Snapshot) -> bool:
        """Take in all there is; whether it can change a decision.

        StandsStill where an event cannot be read that all decisions may rest on; Again where a
        retry was asked for.
        """
        if snapshot.held_out and self._ward is not None and self._ward.retry_asked():
            raise Again("again", "what could not be read is tried again")
        changed = False
        while True:
            try:
                batch = self._stream.read(snapshot.position, BATCH)
            except UnknownEvent as unreadable:
                changed |= self._pass(snapshot, unreadable.poison, whole=True)
                continue
            if not batch:
                break
            for recorded in batch:
                changed |= self._apply(snapshot, recorded)
        self._arrived()
        return changed

    def _apply(self, snapshot: Snapshot, recorded: Recorded) -> bool:
        if recorded.position in self._discarded:
            snapshot.position = recorded.position
            return False
        try:
            return snapshot.apply(recorded)
        except FAULTS as error:
            whole = recorded.stream.partition("/")[0] in FOLDED_WHOLE
            return self._pass(snapshot, poison(recorded, error), whole=whole)

    def _pass(self, snapshot: Snapshot, bad: Poison, *, whole: bool) -> bool:
        """Go on past an event, its stream held out; the snapshot must be `whole` for that."""
        if bad.stream not in snapshot.held_out and bad.position not in self._discarded:
            self._hold_out(snapshot, bad, whole=whole)
        snapshot.position = bad.position
        return True

    def _hold_out(self, snapshot: Snapshot, bad: Poison, *, whole: bool) -> None:
        if self._ward is None:
            raise UnknownEvent(bad)
        if not (whole and hold_out(snapshot, bad.stream, bad.version)):
            self._ward.enter(bad, stops=True)
            detail = f"{bad.stream} at position {bad.position}, {bad.name}: {bad.error}"
            raise StandsStill("stands_still", f"no decision is safe without {detail}")
        if bad.stream in snapshot.held_out:
            self._ward.enter(bad)
            if self._bad is not None:
                self._bad.append(bad.stream)

    def _arrived(self) -> None:
        """Whatever was held back in an earlier life and was read in this one is told to be fine."""
        if self._bad is not None and self._ward is not None:
            self._ward.keep_only(self._bad)
        self._bad = None
