"""Reading ahead: the next events are read and decoded while those before are written."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from domain.event import Recorded
from processors.stream import EventStream


class Ahead:
    """The port `EventStream` on a log that more than one thread may read, one after the other.

    Whoever asks for events and gets as many as asked for is far behind, and will ask for those
    after them once it has taken these in: that wait is for Postgres, and time to decode.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._reader = ThreadPoolExecutor(1, "read-ahead")
        self._next: Future[list[Recorded]] | None = None
        self._about = (0, 0)

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events above `after`, in log order, at most `limit`; raises as the stream does."""
        batch = self._taken((after, limit))
        if batch is None:
            batch = self._stream.read(after, limit)
        if len(batch) == limit:
            self._about = (batch[-1].position, limit)
            self._next = self._reader.submit(self._stream.read, *self._about)
        return batch

    def _taken(self, about: tuple[int, int]) -> list[Recorded] | None:
        """What was read ahead, if that is what is wanted now; what failed is asked for anew."""
        reading, self._next = self._next, None
        if reading is None or reading.exception() is not None or self._about != about:
            return None
        return reading.result()

    def wait(self, seconds: float) -> None:
        """Return when there may be something new, at the latest after the time."""
        self._stream.wait(seconds)

    def close(self) -> None:
        """Read no more; the stream itself is not closed."""
        self._reader.shutdown(cancel_futures=True)
