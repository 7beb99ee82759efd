"""The relay: copies the log to the cell's Kafka topic, in order, at least once, never a gap."""

from __future__ import annotations

import logging
import time

from infra.failpoint import failpoint
from infra.outbox import Anchor, Outbox
from infra.recorder import Epoch
from infra.topic import Topic
from processors.stream import Hint

ROLE = "relay"
BATCH = 2000
CHECK_SECONDS = 5.0
"""How often it looks whether the topic still holds what it relayed."""

log = logging.getLogger(__name__)


class Relay:
    """One leader's working life: it begins with finding out what the topic holds.

    Two at a time are harmless: the second writes repeats, and only one can note its position.
    """

    def __init__(self, outbox: Outbox, topic: Topic, epoch: Epoch, hint: Hint) -> None:
        self._outbox = outbox
        self._topic = topic
        self._epoch = epoch
        self._hint = hint
        self.anchor = self._begin()

    def run(self) -> None:
        """Relay for ever; StaleWriter ends it when another leads, Unavailable if Kafka is away."""
        checked = time.monotonic()
        while True:
            if self.step() < BATCH:
                self._hint.wait(1.0)
            if time.monotonic() - checked > CHECK_SECONDS:
                self._topic.check(self.anchor)
                checked = time.monotonic()

    def step(self) -> int:
        """Relay one batch; returns how many events it held.

        The position is noted only after every record of the batch is acknowledged: a crash in
        between makes repeats, never a gap.
        """
        rows = self._outbox.rows(self.anchor.position, BATCH)
        if rows:
            failpoint("relay.read")
            anchor = self._topic.publish(rows, self.anchor)
            failpoint("relay.published")
            self._outbox.advance(anchor, self._epoch)
            failpoint("relay.noted")
            self.anchor = anchor
        return len(rows)

    def _begin(self) -> Anchor:
        """Where to go on.

        1. refuse a topic whose last event this log does not hold;
        2. if the record noted as the last is where it was, go on after it;
        3. else the topic lost data: go on where what it holds has its first hole.
        """
        last = self._topic.last()
        if last is not None and not last.is_of(self._outbox.rows(last.position - 1, 1)):
            raise last.foreign(self._topic.name)
        noted = self._outbox.anchor()
        if self._topic.holds(noted):
            return noted
        anchor = self._topic.covered()
        log.warning("the topic holds the log up to %s, %s was noted", anchor, noted)
        self._outbox.advance(anchor, self._epoch)
        return anchor
