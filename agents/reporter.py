"""Delivers logs and facts to the cell, in order, until each was answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agents.cell import MAX_FACTS, MAX_LOG_BYTES, Cell, CellAway, CellRefused, LogGap
from agents.failpoint import failpoint
from agents.logs import LogFile
from agents.wire import Ended, Fact, FactResult, SeatKey, key_of

log = logging.getLogger(__name__)

_POLL_S = 0.25


@dataclass
class _Tail:
    """How far a seat's log was handed over. `asked`: the cell said how much it has."""

    log: LogFile
    asked: bool
    offset: int = 0
    over: bool = False


class Reporter:
    """One thread; `answered` is called in it for every fact the cell answered.

    A seat's `ended` waits until every byte of its log was handed over. What could not be
    delivered is kept and tried again: all calls are idempotent.
    """

    def __init__(
        self, cell: Cell, node: str, boot: str, answered: Callable[[Fact, FactResult], None]
    ) -> None:
        self._cell, self._node, self._boot = cell, node, boot
        self._answered = answered
        self._facts: list[Fact] = []
        self._tails: dict[SeatKey, _Tail] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 2.0) -> None:
        """One more round, then no further calls."""
        self._stopped = True
        self._wake.set()
        self._thread.join(wait_s)

    def follow(self, key: SeatKey, log_file: LogFile, *, resumed: bool) -> None:
        """Hand over this log from now on; when `resumed`, from where the cell says it is."""
        with self._lock:
            self._tails[key] = _Tail(log_file, asked=not resumed)

    def forget(self, key: SeatKey) -> None:
        """Hand over nothing more of this seat."""
        with self._lock:
            self._tails.pop(key, None)

    def tell(self, fact: Fact) -> None:
        """Report a fact; facts of one seat arrive in this order."""
        with self._lock:
            self._facts.append(fact)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(_POLL_S)
            self._wake.clear()
            pause_s = self.step()
            if pause_s and not self._stopped:
                threading.Event().wait(pause_s)

    def step(self) -> float:
        """Deliver what there is; seconds to wait before the next try."""
        try:
            self._send_logs()
            self._send_facts()
        except CellAway as error:
            if self._failures in (0, 10):
                log.warning("facts and logs are kept for later: %s", error)
            self._failures += 1
            return min(5.0, 0.1 * 2.0 ** min(self._failures, 10))
        self._failures = 0
        return 0.0

    def _send_logs(self) -> None:
        with self._lock:
            ending = {key_of(fact) for fact in self._facts if isinstance(fact, Ended)}
            tails = list(self._tails.items())
        for key, tail in tails:
            self._send_log(key, tail, whole=key in ending)

    def _send_log(self, key: SeatKey, tail: _Tail, *, whole: bool) -> None:
        """Hand over what is new of one log."""
        size = tail.log.final_size() if whole else tail.log.size()
        try:
            if not tail.asked and size and not tail.over:
                tail.offset = self._cell.send_log(self._node, self._boot, key, 0, b"").size
                tail.asked = True
            while tail.offset < size and not tail.over:
                data = tail.log.read(tail.offset, min(MAX_LOG_BYTES, size - tail.offset))
                kept = self._cell.send_log(self._node, self._boot, key, tail.offset, data)
                if kept.size <= tail.offset and not kept.full:
                    raise CellAway(f"the log of {key} does not grow beyond {kept.size} bytes")
                tail.offset, tail.over = kept.size, kept.full
        except LogGap as gap:
            if gap.size > tail.offset:
                raise CellAway(f"the log of {key}: a gap that is none") from gap
            tail.offset = gap.size
            self._wake.set()
        except CellRefused as error:
            log.warning("the log of %s is not wanted: %s", key, error)
            tail.over = True

    def _send_facts(self) -> None:
        """Report what may be reported now; drop what was answered."""
        with self._lock:
            ready = [fact for fact in self._facts if self._ready(fact)][:MAX_FACTS]
        if not ready:
            return
        try:
            results = self._cell.report(self._node, self._boot, ready)
        except CellRefused as error:
            log.warning("%d facts were refused: %s", len(ready), error)
            results = [FactResult("refused", error.code, error.detail)] * len(ready)
        if any(isinstance(fact, Ended) for fact in ready):
            failpoint("agent.end_told")
        with self._lock:
            sent = {id(fact) for fact in ready}
            self._facts = [fact for fact in self._facts if id(fact) not in sent]
            if self._facts:
                self._wake.set()
        for fact, result in zip(ready, results, strict=True):
            if result.status == "refused":
                log.warning(
                    "refused: %s of %s: %s %s",
                    type(fact).__name__,
                    key_of(fact),
                    result.code,
                    result.detail,
                )
            self._answered(fact, result)

    def _ready(self, fact: Fact) -> bool:
        """Whether nothing has to go before it: for an end, the whole log."""
        tail = self._tails.get(key_of(fact))
        if not isinstance(fact, Ended) or tail is None or tail.over:
            return True
        return tail.offset >= tail.log.final_size()
