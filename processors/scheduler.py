"""The scheduler: follows the log into a snapshot, decides, appends under its epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable

from domain.scheduling.decide import decide
from domain.scheduling.events import Step
from domain.scheduling.receipt import with_receipts
from domain.scheduling.snapshot import Snapshot
from infra.recorder import Epoch
from infra.store import Log, VersionConflict
from processors.stream import EventStream

ROLE = "scheduler"
BATCH = 5000
CHUNK = 1000
"""Decisions in one transaction: one conflict does not sink a cycle, the lock stays short."""

log = logging.getLogger(__name__)


class Scheduler:
    """One leader's working life. Its snapshot is rebuilt from the log when it takes over."""

    def __init__(
        self, store: Log, stream: EventStream, epoch: Epoch, now: Callable[[], int]
    ) -> None:
        self._store = store
        self._stream = stream
        self._epoch = epoch
        self._now = now
        self._recorded = store.head()
        """What a leader has decided up to here is in the log; a stream may be behind that."""
        self._due = False
        self.snapshot = Snapshot()

    def run(self) -> None:
        """Follow the log for ever; StaleWriter ends it when another leader took over."""
        while True:
            if not self.cycle():
                self._stream.wait(1.0)

    def cycle(self) -> bool:
        """One cycle; whether it decided anything.

        1. follow the log, at least to what this leader and those before it recorded: whoever
           decided without that would give away twice what is free once;
        2. conclude what agents reported and append it; follow again, to see it recorded, and
           conclude what came meanwhile;
        3. plan and append the decisions.
        Each transaction of decisions begins with its receipt. A rival's write makes a transaction
        fail as a whole; the next cycle sees it and decides anew.
        """
        self._due |= self._follow()
        if not self._due or self._behind():
            return False
        while self._decide(Step.CONCLUDE):
            self._follow()
            if self._behind():
                return True
        self._due = False
        self._decide(Step.PLAN)
        return True

    def _behind(self) -> bool:
        return self.snapshot.position < self._recorded

    def _follow(self) -> bool:
        changed = False
        while batch := self._stream.read(self.snapshot.position, BATCH):
            for recorded in batch:
                changed |= self.snapshot.apply(recorded)
        return changed

    def _decide(self, step: Step) -> bool:
        """Decide one step and append it; whether anything was recorded."""
        now = self._now()
        decisions = decide(step, self.snapshot, now)
        if step is Step.CONCLUDE and not decisions:
            self.snapshot.touched.clear()
        recorded = False
        for changes in with_receipts(step, self.snapshot, now, decisions, CHUNK):
            try:
                appended = self._store.append(changes, epoch=self._epoch)
            except VersionConflict:
                log.info("another writer was first: deciding anew")
                break
            self._recorded = max(self._recorded, appended[-1].position)
            recorded = True
        return recorded
