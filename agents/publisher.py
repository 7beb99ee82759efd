"""Publishes checkpoint directories in worker threads, never a torn one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agents.checkpoints import (
    Memory,
    NotQuiet,
    Publication,
    Signature,
    TooManyFiles,
    look,
    publish,
)
from agents.chunks import ObjectFolder
from agents.wire import SeatKey

log = logging.getLogger(__name__)

QUIET_S = 1.0
"""How long nothing may have changed before a running job's directory is read."""
PATIENCE_S = 600.0
"""How long a job that was asked to save is waited for."""
_LOOK_S = 0.25


@dataclass(frozen=True)
class Request:
    """Publish this directory. `cause`: interval (the job runs on), stop or exit (it ended)."""

    key: SeatKey
    cause: str
    directory: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a request: a publication, nothing new (both empty), or a failure."""

    request: Request
    publication: Publication | None = None
    failure: str = ""


@dataclass
class _Waiting:
    """A running job's directory, waited for until it changed and then kept still."""

    request: Request
    until: float
    seen: Signature
    since: float


class Publisher:
    """One thread waits for quiet moments, a few read and write. At most one request a seat."""

    def __init__(self, objects: ObjectFolder, done: Callable[[Outcome], None]) -> None:
        self._objects = objects
        self._done = done
        self._memories: dict[SeatKey, Memory] = {}
        self._waiting: dict[SeatKey, _Waiting] = {}
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="checkpoints")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="quiet", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Requests not yet begun are dropped; the next agent makes them again."""
        self._stopped.set()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def submit(self, request: Request) -> None:
        """Publish now if the job ended, else at the first quiet moment after a change."""
        if request.cause != "interval":
            self._workers.submit(self._publish, request)
            return
        now = time.monotonic()
        with self._lock:
            self._waiting[request.key] = _Waiting(request, now + PATIENCE_S, {}, now)

    def cancel(self, key: SeatKey) -> bool:
        """Stop waiting for a quiet moment; False if nothing waited (it may be under way)."""
        with self._lock:
            return self._waiting.pop(key, None) is not None

    def forget(self, key: SeatKey) -> None:
        """Nothing more will be published of this seat."""
        with self._lock:
            self._memories.pop(key, None)

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            with self._lock:
                waiting = list(self._waiting.values())
            for item in waiting:
                try:
                    self._consider(item)
                except Exception as error:  # one seat's directory must not end the thread
                    log.exception("the checkpoint directory of %s", item.request.key)
                    if self.cancel(item.request.key):
                        self._done(Outcome(item.request, failure=str(error)))

    def _consider(self, item: _Waiting) -> None:
        """Publish if it changed since the last time and has been still for a while."""
        now = time.monotonic()
        try:
            seen = look(item.request.directory)
        except (NotQuiet, FileNotFoundError):
            seen = {}
        if seen != item.seen:
            item.seen, item.since = seen, now
        memory = self._memory(item.request.key)
        changed = bool(seen) and seen != memory.identities
        if changed and now - item.since >= QUIET_S:
            if self.cancel(item.request.key):
                self._workers.submit(self._publish, item.request)
        elif now > item.until and self.cancel(item.request.key):
            self._done(Outcome(item.request))

    def _publish(self, request: Request) -> None:
        outcome = Outcome(request)
        try:
            outcome = Outcome(request, self._try(request))
        except (OSError, TooManyFiles, NotQuiet) as error:
            log.warning("the checkpoint of %s was not kept: %s", request.key, error)
            outcome = Outcome(request, failure=f"{type(error).__name__}: {error}")
        except Exception as error:
            log.exception("the checkpoint of %s was not kept", request.key)
            outcome = Outcome(request, failure=str(error))
        self._done(outcome)

    def _try(self, request: Request) -> Publication | None:
        """Publish, a few times if files change meanwhile."""
        for _ in range(5):
            try:
                return publish(request.directory, self._objects, self._memory(request.key))
            except NotQuiet as error:
                last = error
                if self._stopped.wait(QUIET_S):
                    break
        raise last

    def _memory(self, key: SeatKey) -> Memory:
        with self._lock:
            return self._memories.setdefault(key, Memory())
