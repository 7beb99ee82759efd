"""The relay: copies the log to the cell's Kafka topic, in order, at least once, never a gap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from infra.cloudevents import foreign
from infra.failpoint import failpoint
from infra.outbox import NOTHING, Anchor, Row
from infra.recorder import Epoch
from infra.topic import Topic
from processors.stream import Hint

ROLE = "relay"
BATCH = 2000
CHECK_SECONDS = 5.0
"""How often it looks whether the topic still holds what it relayed."""

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """The log as it is stored, and how far it was relayed."""

    def rows(self, after: int, limit: int) -> Sequence[Row]:
        """Rows with positions above `after`, in log order, at most `limit`; never skips one."""

    def anchor(self) -> Anchor:
        """How far the log was relayed to this topic."""

    def advance(self, anchor: Anchor, epoch: Epoch) -> None:
        """Note how far the log was relayed; StaleWriter if another relay leads."""


class Relay:
    """One leader's working life: it begins with finding out what the topic holds.

    Two at a time are harmless: the second writes repeats, and only one can note its position. What
    one wrote that stood still while a standby behind it took over is refused by the next.
    """

    def __init__(
        self,
        outbox: Outbox,
        topic: Topic,
        epoch: Epoch,
        hint: Hint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._topic = topic
        self._epoch = epoch
        self._hint = hint
        self._clock = clock
        self._checked = clock()
        self.anchor = self._begin()

    def run(self) -> None:
        """Relay for ever; StaleWriter ends it when another leads, Unavailable if Kafka is away."""
        while True:
            if self.turn() < BATCH:
                self._hint.wait(1.0)

    def turn(self) -> int:
        """Relay one batch, and look now and then at the topic; how many events it held."""
        count = self.step()
        if self._clock() - self._checked > CHECK_SECONDS:
            self._topic.check(self.anchor)
            self._checked = self._clock()
        return count

    def step(self) -> int:
        """Relay one batch; returns how many events it held.

        The position is noted only after every record of the batch is acknowledged: a crash in
        between makes repeats, never a gap.
        """
        rows = self._next()
        if rows:
            failpoint("relay.read")
            anchor = self._topic.publish(rows, self.anchor)
            failpoint("relay.published")
            if anchor.offset != self.anchor.offset + len(rows):
                self._look_again(anchor)
            self._outbox.advance(anchor, self._epoch)
            failpoint("relay.noted")
            self.anchor = anchor
        return len(rows)

    def _look_again(self, new: Anchor) -> None:
        """Somebody else wrote too, or records were lost while others of their batch were written.

        TopicLost unless the topic holds everything from the last anchor to the `new` one.
        """
        if self.anchor != NOTHING:
            self._topic.check(self.anchor)
        if self._hold_against_log(self.anchor) < new.position:
            raise self._topic.lost(new)

    def _next(self) -> Sequence[Row]:
        """What follows the anchor in a log that has the anchor: else it would chain to nothing."""
        after = self.anchor.position
        rows = self._outbox.rows(after - 1, BATCH + 1)
        if not after:
            return rows
        if not rows or rows[0].position != after:
            raise foreign(self._topic.name, after)
        return rows[1:]

    def _begin(self) -> Anchor:
        """Where to go on.

        1. if the record noted as the last is where it was, after it;
        2. else the topic lost data: where what it holds has its first hole;
        3. but refuse a topic that from there on holds an event which this log does not.
        """
        noted = anchor = self._outbox.anchor()
        if not self._topic.holds(noted):
            anchor = self._topic.covered()
        self._hold_against_log(anchor)
        if anchor != noted:
            log.warning("the topic holds the log up to %s, %s was noted", anchor, noted)
            self._outbox.advance(anchor, self._epoch)
        return anchor

    def _hold_against_log(self, anchor: Anchor) -> int:
        """Refuse a topic that holds what this log does not, from the anchor's record on.

        Returns the position up to which from there on nothing is missing. Only the last records of
        a topic can be foreign: nothing is noted before this was looked at.
        """
        rows: dict[int, Row] = {}
        reached = anchor.position
        for event in self._topic.since(anchor):
            if event.position not in rows:
                found = self._outbox.rows(event.position - 1, BATCH)
                rows = {row.position: row for row in found}
            row = rows.get(event.position)
            if row is None or not event.is_of(row):
                raise foreign(self._topic.name, event.position)
            if event.previous <= reached < event.position:
                reached = event.position
        return reached
