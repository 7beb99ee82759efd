"""Following the log through Kafka: in order, each event once, and nothing missing unseen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from domain.errors import Conflict, Unavailable
from domain.event import Recorded
from infra.cloudevents import Received, Stranger, foreign, received
from infra.codec import UnknownEvent
from infra.kafka import Cell
from infra.outbox import Row
from infra.partition import REQUEST_MS, Partition

POLL_RECORDS = 1_000
"""What is kept at most beside a fetch: it bounds the memory of a slow reader."""
FETCH_BYTES = 2 << 20
PROBE_BYTES = 1
"""While looking for a position one batch is enough; the brokers never send less."""

log = logging.getLogger(__name__)


class Rows(Protocol):
    """The log, as its rows are stored."""

    def rows(self, after: int, limit: int) -> Sequence[Row]:
        """Rows with positions above `after`, in log order, at most `limit`."""


class KafkaStream:
    """The port `EventStream` on a cell's topic. Not thread-safe.

    It keeps no offsets with the brokers: the reader's own position, committed with its rows, says
    where to go on. It raises Unavailable when the brokers do not answer, and Conflict when the
    topic lacks events between that position and what it holds, or holds what the log does not.
    """

    def __init__(self, cell: Cell, log: Rows | None = None) -> None:
        """Without a `log` to hold it against, what the topic holds is believed."""
        self._cell, self._log = cell, log
        self._consumer = cell.consumer(FETCH_BYTES)
        self._given = -1  # the position after which `_ready` goes on; -1: not placed yet
        self._placed = -1  # the position after which it was placed
        self._last = -1  # the position of the newest event taken since, given or ready
        self._ready: list[Received] = []
        self._gap: tuple[Received, int] | None = None

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events above `after`, in log order, at most `limit`."""
        if after != self._given:
            self._place(after)
        if not self._ready:
            self._poll(0.0)
        if not self._ready:
            self._check_gap()
        found = self._decoded(limit)
        if found:
            self._check_last(self._ready[len(found) - 1])
            self._ready = self._ready[len(found) :]
            self._given = found[-1].position
        return found

    def _decoded(self, limit: int) -> list[Recorded]:
        """What is ready, up to an event that cannot be read; UnknownEvent where that is the next.

        Whoever is told of it goes on behind it.
        """
        found: list[Recorded] = []
        for event in self._ready[:limit]:
            try:
                found.append(event.recorded())
            except UnknownEvent:
                if found:
                    break
                self._check_last(event)
                raise
        return found

    def wait(self, seconds: float) -> None:
        """Return when there may be something new, at the latest after the time."""
        if not self._ready and self._given >= 0:
            self._poll(seconds)

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _place(self, after: int) -> None:
        probe = Partition(self._cell, PROBE_BYTES)
        try:
            offset = probe.offset_after(after)
        finally:
            probe.close()
        self._consumer.seek(self._cell.partition, offset)
        self._given = self._last = self._placed = after
        self._ready, self._gap = [], None

    def _poll(self, seconds: float) -> None:
        here = self._cell.partition
        with self._cell.reaching():
            try:
                polled = self._consumer.poll(int(seconds * 1000), max_records=POLL_RECORDS)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
                self._given = -1
                raise Unavailable("topic_lost", f"topic {here.topic} was made anew") from error
            for record in polled.get(here, ()):
                try:
                    self._take(received(record.headers, record.value, self._cell.source))
                except Stranger as error:
                    log.warning("%s offset %d passed over: %s", here.topic, record.offset, error)

    def _take(self, event: Received) -> None:
        """Keep an event that comes next; drop a repeat; remember one with others missing before.

        What is missing may follow: a relay that failed sends again from its last position. So the
        gap is only held against the topic when all it holds by now is read. One that follows what
        is before the last event taken shows that this one is not of the same log.
        """
        if event.position <= self._last:
            return
        if self._last != self._placed and event.previous < self._last:
            self._given = -1
            raise foreign(self._cell.topic, self._last)
        if event.previous <= self._last:
            self._ready.append(event)
            self._last, self._gap = event.position, None
        elif self._gap is None:
            here = self._cell.partition
            end = self._consumer.end_offsets([here], timeout_ms=REQUEST_MS)[here]
            self._gap = event, end

    def _check_last(self, event: Received) -> None:
        """Each follows the one before it, so that the log holds them all if it holds the last."""
        if self._log is None:
            return
        rows = self._log.rows(event.position - 1, 1)
        if not rows or not event.is_of(rows[0]):
            self._given = -1
            raise foreign(self._cell.topic, event.position)

    def _check_gap(self) -> None:
        if self._gap is None:
            return
        event, end = self._gap
        with self._cell.reaching():
            if self._consumer.position(self._cell.partition) < end:
                return
        self._given = -1
        raise Conflict(
            "log_gap",
            f"topic {self._cell.topic} goes on with position {event.position}, which follows"
            f" {event.previous}, but this reader has come to {self._last} only: what is between"
            " is not in the topic",
        )
