"""A cell's topic as its relay sees it: made, filled in log order, checked for what it lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError

from domain.errors import Invalid, Unavailable
from infra.cloudevents import Received, foreign, to_message
from infra.kafka import RECORD_BYTES, Cell
from infra.outbox import NOTHING, Anchor, Row
from infra.partition import Partition

MADE_SECONDS = 10.0
ACKNOWLEDGED_SECONDS = 60.0
"""Above what the producer itself takes until it gives a record up."""
CONFIG = {
    "retention.ms": "-1",  # the topic may hold all history; lower it where readers need less
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "max.message.bytes": str(RECORD_BYTES),
    "message.timestamp.type": "CreateTime",  # the time of recording: readers seek by it
    "message.timestamp.after.max.ms": str(2**63 - 1),  # a broker's clock may be behind Postgres
}

log = logging.getLogger(__name__)


class TopicLost(Unavailable):
    """Records the brokers had acknowledged are gone: the topic was deleted, or a disk was lost."""


class Topic:
    """The topic of a cell for one relay; it is made if it is missing. Not thread-safe.

    Every method raises Unavailable when the brokers do not answer, Denied when they refuse.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.name = cell.topic
        self._ensure()
        self._producer: Any = cell.producer()
        self._partition = Partition(cell)

    def publish(self, rows: Sequence[Row], anchor: Anchor) -> Anchor:
        """Append rows, which follow `anchor`, and return the new one when all are acknowledged.

        Raises TopicLost if the brokers put them where they had acknowledged others.
        """
        previous, sent = anchor.position, []
        with self._cell.reaching():
            for row in rows:
                message = to_message(row, previous, self._cell.source)
                future = self._producer.send(
                    self._cell.topic,
                    key=message.key,
                    value=message.value,
                    headers=message.headers,
                    partition=0,
                    timestamp_ms=row.recorded_at // 1000,
                )
                sent.append(future)
                previous = row.position
            offsets = [future.get(timeout=ACKNOWLEDGED_SECONDS).offset for future in sent]
        if offsets[0] <= anchor.offset:
            raise self.lost(anchor)
        return Anchor(previous, offsets[-1])

    def check(self, anchor: Anchor) -> None:
        """Raise TopicLost if the anchor's record is not where it was."""
        if not self.holds(anchor):
            raise self.lost(anchor)

    def since(self, anchor: Anchor) -> Iterator[Received]:
        """The events it holds from the anchor's own on, in its order."""
        first, end = self._partition.bounds()
        for _, event in self._partition.records(max(first, anchor.offset), end):
            yield event

    def holds(self, anchor: Anchor) -> bool:
        """Whether the anchor's record is where it was, or went by retention."""
        first, end = self._partition.bounds()
        if anchor == NOTHING:
            return end == 0
        if anchor.offset < first:
            return True
        event = self._at(anchor.offset) if anchor.offset < end else None
        return event is not None and event.position == anchor.position

    def covered(self) -> Anchor:
        """Up to where the topic holds the log without a hole, found by reading all of it.

        Conflict if two events follow the same one: then it is of more than one log.
        """
        first, end = self._partition.bounds()
        anchor: Anchor | None = None if first > 0 else NOTHING
        for offset, event in self._partition.records(first, end):
            if anchor is None:  # retention removed what was before: that is no hole
                anchor = Anchor(event.previous, first)
            if event.previous <= anchor.position < event.position:
                if event.previous < anchor.position:
                    raise foreign(self.name, anchor.position)
                anchor = Anchor(event.position, offset)
        return anchor or NOTHING

    def close(self) -> None:
        """Drop what was not acknowledged and give the connections back."""
        self._producer.close(timeout=0)
        self._partition.close()

    def _ensure(self) -> None:
        admin = self._cell.admin()
        try:
            with self._cell.reaching():
                try:
                    admin.create_topics([NewTopic(self._cell.topic, 1, -1, topic_configs=CONFIG)])
                    log.info("made topic %s", self._cell.topic)
                except TopicAlreadyExistsError:
                    pass
                except TopicAuthorizationFailedError:
                    # a relay that may not make topics needs one that somebody made
                    if self._cell.topic not in admin.list_topics():
                        raise
                count = self._partitions(admin)
        finally:
            admin.close()
        if count != 1:
            raise Invalid(
                "topic_partitions",
                f"topic {self._cell.topic} has {count} partitions, the log's"
                " order needs exactly 1: delete it (it is made anew) or set another COMPUTE_CELL",
            )

    def _partitions(self, admin: Any) -> int:
        """How many the topic has; a broker shows none of a topic it has only just made."""
        deadline = time.monotonic() + MADE_SECONDS
        while True:
            [found] = admin.describe_topics([self._cell.topic])
            count = len(found["partitions"])
            if count or time.monotonic() > deadline:
                return count
            time.sleep(0.1)

    def _at(self, offset: int) -> Received | None:
        for _, found in self._partition.records(offset, offset + 1):
            return found
        return None

    def lost(self, anchor: Anchor) -> TopicLost:
        """What to raise where acknowledged records up to this anchor are not all there."""
        return TopicLost(
            "topic_lost",
            f"topic {self._cell.topic} lost records, but offset {anchor.offset} was acknowledged"
            f" for position {anchor.position}: it is filled again from the log",
        )
