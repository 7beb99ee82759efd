"""Reading ahead: the next batch is read and decoded while the last one is written."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from domain.event import Recorded
from processors.stream import EventStream


@dataclass(frozen=True)
class _Next:
    after: int
    limit: int
    batch: Future[list[Recorded]]


class ReadAhead:
    """The port `EventStream` before another, for one who reads batch after batch to catch up.

    After a full batch `begin` has the next read by a thread of its own; so at most two are in
    memory. What that fails with is raised when the batch is asked for.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._full: tuple[int, int] | None = None
        """Where the last batch ended and how many events it held, if as many as were asked for."""
        self._next: _Next | None = None

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events above `after`, in log order, at most `limit`."""
        known, self._next = self._next, None
        if known is not None and (known.after, known.limit) == (after, limit):
            batch = known.batch.result()
        else:
            self._done(known)
            batch = self._stream.read(after, limit)
        self._full = (batch[-1].position, limit) if len(batch) == limit else None
        return batch

    def begin(self) -> None:
        """From now on its reader waits for others, mostly."""
        full, self._full = self._full, None
        if full is not None:
            self._next = _Next(*full, self._thread.submit(self._stream.read, *full))

    def wait(self, seconds: float) -> None:
        """Return when there may be something new, at the latest after the time."""
        if self._next is None:  # else it is known that there is
            self._stream.wait(seconds)

    def close(self) -> None:
        """End the thread; the stream is its owner's to close."""
        self._done(self._next)
        self._thread.shutdown()

    @staticmethod
    def _done(known: _Next | None) -> None:
        """Wait for what nobody wants any more: a stream has one reader at a time."""
        if known is not None:
            with suppress(Exception):
                known.batch.result()
