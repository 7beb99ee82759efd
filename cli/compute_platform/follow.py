"""Streams that go on by themselves after a broken connection: logs by offset, events by place."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from compute_platform.errors import Problem, Unexpected
from compute_platform.transport import BROKEN, LONGEST_PAUSE, Trial, pieces

if TYPE_CHECKING:
    from compute_platform.shapes import JsonObject
    from compute_platform.transport import Query, Transport

QUIET_SECONDS = 60.0
"""A stream silent for so long is taken up anew: a dead connection would be silent for ever."""
STREAM_PATIENCE = 10
"""Streams last for hours: they are tried again this many times longer than a request."""
EVENT_STREAM = "text/event-stream"


class Line:
    """One stream's connection, opened again and again; whatever it brings renews its patience."""

    def __init__(self, transport: Transport, patience: float) -> None:
        self._transport = transport
        self._patience = patience
        self._trial = Trial(transport, repeatable=True, patience=patience)
        self._opened: float | None = None
        self._useful = False

    def open(self, path: str, query: Query, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The answer, its head read. What goes wrong is to be handed to `broke`."""
        self._opened, self._useful = None, False
        response = self._transport.open(
            "GET", path, query, headers=headers, timeout=QUIET_SECONDS, trial=self._trial
        )
        self._opened = time.monotonic()
        return response

    def progressed(self) -> None:
        """The stream brought something new."""
        self._useful = True

    def broke(self, error: Exception) -> None:
        """Wait before the next `open`, or raise the error if there is no point in one."""
        if self._opened is not None:
            if isinstance(error, TimeoutError):
                return  # silent, perhaps rightly: ask again at once
            if self._useful or time.monotonic() - self._opened > LONGEST_PAUSE:
                self._trial = Trial(self._transport, repeatable=True, patience=self._patience)
                self._trial.reached()
        self._trial.again(error)


def log(
    transport: Transport, path: str, query: Query, offset: int, ended: Callable[[], bool] | None
) -> Iterator[bytes]:
    """The bytes of a log from `offset` on, each once, across broken connections.

    With `ended`, which tells whether the job has, it follows until then; else it stops with
    what is there now.
    """
    follow = ended is not None
    line = Line(transport, transport.patience * (STREAM_PATIENCE if follow else 1))
    over, stuck = not follow, False
    while True:
        before, told = offset, False
        asked: Query = {**query, "follow": follow or None, "offset": offset}
        # Events keep an idle connection alive, but half of one is lost: where connections break
        # before a first event is whole, plain text gets on.
        accept = EVENT_STREAM if follow and not stuck else "text/plain"
        try:
            with line.open(path, asked, {"Accept": accept}) as response:
                for end, data in _log_parts(response, offset):
                    told = told or end is None  # the server said that this is the end
                    new = b"" if end is None else _unseen(end, data, offset)
                    if new:
                        offset += len(new)
                        line.progressed()
                        yield new
        except (*BROKEN, Problem) as error:
            stuck = offset == before and not isinstance(error, TimeoutError)
            line.broke(error)
            continue
        if told or (offset == before and over):
            return
        if ended is None:
            if _delimited(response):
                return
        elif offset == before and not over:
            # A server that shuts down ends its streams in order: only the job's end ends a log.
            over = ended()
            if not over:
                time.sleep(1.0)


def events(transport: Transport, path: str, after: int) -> Iterator[JsonObject]:
    """Recorded events after the position `after`, each once, for as long as the caller listens."""
    line = Line(transport, transport.patience * STREAM_PATIENCE)
    while True:
        headers = {"Accept": EVENT_STREAM, "Last-Event-ID": str(after)}
        try:
            with line.open(path, {"after": after}, headers) as response:
                for _, position, data in server_sent(pieces(response)):
                    if position.isdigit() and int(position) > after:
                        after = int(position)
                        line.progressed()
                        yield _event(data)
        except (*BROKEN, Problem) as error:
            line.broke(error)
        else:
            time.sleep(1.0)  # ended in order: the server shuts down, let it come back


def server_sent(parts: Iterator[bytes]) -> Iterator[tuple[bytes, str, bytes]]:
    """Whole events of an event stream as (kind, id, data); half an event at the end is dropped.

    Format: HTML standard, section 9.2.6 "Interpreting an event stream".
    """
    kind, identity, data = b"", "", list[bytes]()
    for line in _lines(parts):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            identity = value.decode()
        elif name == b"event":
            kind = value
        elif name == b"data":
            data.append(value)
        elif not line:
            if data:
                yield kind, identity, b"\n".join(data)
            kind, data = b"", []


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        # A \r that ends the part may be half of \r\n: it waits for what follows.
        *whole, rest = re.split(rb"\r\n|\n|\r(?!\Z)", rest + part)
        yield from whole


def _log_parts(
    response: http.client.HTTPResponse, offset: int
) -> Iterator[tuple[int | None, bytes]]:
    """The log as (offset after, bytes) from either form of answer; no offset is its very end."""
    if not response.headers.get("Content-Type", "").startswith(EVENT_STREAM):
        for data in pieces(response):
            offset += len(data)
            yield offset, data
        return
    for kind, identity, encoded in server_sent(pieces(response)):
        if kind == b"end":
            yield None, b""
            return
        try:
            yield int(identity), base64.b64decode(encoded, validate=True)
        except ValueError:
            raise Unexpected(f"A log event is not in the agreed form: {encoded[:60]!r}") from None


def _unseen(end: int, data: bytes, have: int) -> bytes:
    start = end - len(data)
    if start > have:
        raise Unexpected(f"The log has a gap: after byte {have} came byte {start}.")
    return data[have - start :] if end > have else b""


def _delimited(response: http.client.HTTPResponse) -> bool:
    """Whether the protocol said where the body ends, so that its end is not a broken connection."""
    return response.chunked or response.headers.get("Content-Length") is not None


def _event(data: bytes) -> JsonObject:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Unexpected(f"An event is not a JSON object: {data[:60]!r}")
    return value
