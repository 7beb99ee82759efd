"""The scheduler: follows the log into a snapshot, decides, appends under its epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import psycopg

from domain.scheduling.budgets import next_turn
from domain.scheduling.decide import decide
from domain.scheduling.events import Step
from domain.scheduling.moving import next_moment
from domain.scheduling.plan import MOST_WAITS, depends_on_time
from domain.scheduling.receipt import with_receipts
from domain.scheduling.snapshot import Snapshot
from domain.values.time import SECOND
from infra.collector import unhindered
from infra.failpoint import failpoint
from infra.recorder import Epoch
from infra.store import Log, VersionConflict
from processors.reading import Quarantine, Reading
from processors.stream import EventStream

ROLE = "scheduler"
CHUNK = 1000
"""Decisions in one transaction: one conflict does not sink a cycle, the lock stays short."""
SAVE_EVENTS = 20_000
"""At least so many events lie between two savings of the state."""

log = logging.getLogger(__name__)


class Kept(Protocol):
    """Where the folded state is kept, so that a take-over need not read all of the log."""

    def save(self, snapshot: Snapshot) -> None:
        """Keep the state as it is."""

    def newest(self, most: int) -> Snapshot:
        """The newest state kept for a position up to `most`, else the empty one."""


class Told(Protocol):
    """Where it is told how far the leader has read."""

    def note(self, position: int) -> None:
        """It has read up to this position."""


class Scheduler:
    """One leader's working life. Its snapshot is folded from the log when it takes over.

    With `kept` it begins from the state kept there, and keeps its own now and then.
    """

    def __init__(
        self,
        store: Log,
        stream: EventStream,
        epoch: Epoch,
        now: Callable[[], int],
        ward: Quarantine | None = None,
        kept: Kept | None = None,
        place: Told | None = None,
    ) -> None:
        """Without a `ward` to tell of it, an event that cannot be read ends it."""
        self._store = store
        self._stream = stream
        self._epoch = epoch
        self._now = now
        self._recorded = store.head()
        """What a leader has decided up to here is in the log; a stream may be behind that."""
        self._reading = Reading(store, stream, ROLE, ward)
        self._kept, self._place = kept, place
        self.snapshot = kept.newest(self._recorded) if kept else Snapshot()
        self._unsaved = 0
        self._planned = 0
        self._window: int | None = None
        """When next a reserved window begins or ends, or something is to leave for one."""
        self._due = self.snapshot.position > 0  # what was kept may hold what is to be decided

    def run(self) -> None:
        """Follow the log for ever; StaleWriter ends it when another leader took over."""
        while True:
            busy = self.cycle()
            self.tell()
            self.save(busy)
            if not busy:
                self._stream.wait(1.0)

    def cycle(self) -> bool:
        """One cycle; whether it decided anything.

        1. follow the log, at least to what this leader and those before it recorded: whoever
           decided without that would give away twice what is free once;
        2. conclude what agents reported and append it; follow again, to see it recorded, and
           conclude what came meanwhile;
        3. plan and append the decisions; also each interval while jobs wait, where time counts,
           and when a reserved window begins or ends.
        Each transaction of decisions begins with its receipt. A rival's write makes a transaction
        fail as a whole; the next cycle sees it and decides anew.
        """
        self._due |= self._follow() or self._time_counts()
        if not self._due or self._behind():
            return False
        failpoint("scheduler.followed")
        began = self._now()
        while self._decide(Step.CONCLUDE):
            failpoint("scheduler.concluded")
            self._follow()
            if self._behind():
                return True
        self._due = False
        self._planned = self._now()
        self._decide(Step.PLAN)
        self._window = next_moment(self.snapshot, began)
        return True

    def _time_counts(self) -> bool:
        """Whether the time since the last plan alone may change what is decided."""
        settings, now = self.snapshot.policy.scheduler, self._now()
        if self._window is not None and now >= self._window:
            return True
        if not len(self.snapshot.lines) and not self.snapshot.migrating:
            return False
        turn = next_turn(self.snapshot.budgets, self._planned)
        return (turn is not None and turn <= now) or (
            depends_on_time(settings) and now - self._planned >= settings.interval_seconds * SECOND
        )

    def save(self, busy: bool = False) -> None:
        """Keep the state, once enough events came since it was last kept; later while `busy`.

        What that costs grows with the jobs that live, so it is done less often the more there are.
        Nothing is kept while streams are held out: whoever begins from it could not try them again.
        """
        enough = max(SAVE_EVENTS, 2 * len(self.snapshot.jobs)) * (4 if busy else 1)
        kept_back = self._behind() or self.snapshot.held_out
        if self._kept is None or self._unsaved < enough or kept_back:
            return
        self._unsaved = 0
        try:
            self._kept.save(self.snapshot)
        except psycopg.Error as error:
            log.warning("the state could not be kept: %s", error)

    def tell(self) -> None:
        """Say how far it has read."""
        if self._place is not None:
            self._place.note(self.snapshot.position)

    def _behind(self) -> bool:
        return self.snapshot.position < self._recorded

    def _follow(self) -> bool:
        before = self.snapshot.position
        with unhindered():
            changed = self._reading.follow(self.snapshot)
        self._unsaved += self.snapshot.position - before
        return changed

    def _decide(self, step: Step) -> bool:
        """Decide one step and append it; whether anything was recorded."""
        now = self._now()
        decisions = decide(step, self.snapshot, now)
        if step is Step.PLAN:
            failpoint("scheduler.planned")
        if step is Step.CONCLUDE and not decisions:
            self.snapshot.touched.clear()
        self._due |= len(decisions) >= MOST_WAITS  # not all that wait were told
        recorded = False
        for changes in with_receipts(step, self.snapshot, now, decisions, CHUNK):
            try:
                appended = self._store.append(changes, epoch=self._epoch)
                failpoint("scheduler.recorded")
            except VersionConflict:
                log.info("another writer was first: deciding anew")
                break
            self._recorded = max(self._recorded, appended[-1].position)
            recorded = True
        return recorded
