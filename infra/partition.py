"""Reading a cell's partition by offsets: what it holds, and where in it a position is."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from domain.errors import Unavailable
from infra.cloudevents import Received, Stranger, received
from infra.kafka import FETCH_BYTES, Cell

REQUEST_MS = 5_000
READ_SECONDS = 10.0

log = logging.getLogger(__name__)


class Partition:
    """One reader's view, on a client of its own. Not thread-safe.

    Every method raises Unavailable when the brokers do not answer, Denied when they refuse.
    """

    def __init__(self, cell: Cell, fetch_bytes: int = FETCH_BYTES) -> None:
        self._cell = cell
        self._consumer = cell.consumer(fetch_bytes)

    def bounds(self) -> tuple[int, int]:
        """The first offset there is, and the one the next record will get."""
        here = self._cell.partition
        with self._cell.reaching():
            first = self._consumer.beginning_offsets([here], timeout_ms=REQUEST_MS)
            end = self._consumer.end_offsets([here], timeout_ms=REQUEST_MS)
        return first[here], end[here]

    def records(self, first: int, end: int) -> Iterator[tuple[int, Received]]:
        """The cell's events at offsets from `first` up to before `end`, with their offsets."""
        here = self._cell.partition
        with self._cell.reaching():
            self._consumer.seek(here, first)
            deadline = time.monotonic() + READ_SECONDS
            while self._consumer.position(here) < end:
                for record in self._consumer.poll(timeout_ms=500).get(here, ()):
                    deadline = time.monotonic() + READ_SECONDS
                    if record.offset >= end:
                        return
                    event = self._cell_event(record.offset, record.headers, record.value)
                    if event is not None:
                        yield record.offset, event
                if time.monotonic() > deadline:
                    raise Unavailable("kafka_unavailable", f"{self._cell.topic} cannot be read")

    def offset_after(self, position: int) -> int:
        """An offset to read on from after a position, by bisection.

        Repeats make positions fall here and there, so it is a place where they pass `position`,
        not always the first.
        """
        low, high = self.bounds()
        while low < high:
            middle = (low + high) // 2
            offset, event = next(self.records(middle, high), (middle, None))
            if event is None or event.position > position:
                high = middle
            else:
                low = offset + 1
        return low

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _cell_event(
        self, offset: int, headers: list[tuple[str, bytes]], value: bytes | None
    ) -> Received | None:
        try:
            return received(headers, value, self._cell.source)
        except Stranger as error:
            log.warning("%s offset %d passed over: %s", self._cell.topic, offset, error)
            return None
