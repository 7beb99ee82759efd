"""The scheduler: follows the log into a snapshot, decides, appends under its epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import psycopg

from domain.event import Change
from domain.scheduling.bound import Bound, Cursor
from domain.scheduling.budgets import next_turn
from domain.scheduling.decide import decide, planned
from domain.scheduling.events import Step
from domain.scheduling.moving import next_moment
from domain.scheduling.plan import Cycle, depends_on_time
from domain.scheduling.receipt import with_receipts
from domain.scheduling.roster import prepare
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
    """Where it is told how far the leader has come: in the log and in the queue."""

    def planned(self, lines: int, left: int) -> None:
        """A cycle is over: of so many lines of the queue it left so many to the next."""

    def note(self, position: int) -> None:
        """It has read up to this position."""


class Pace(Protocol):
    """What a cycle may do in the time that the policy gives it."""

    def begin(self) -> None:
        """A cycle begins."""

    def bound(self, budget_ms: int) -> int | None:
        """Units of work for the cycle, now that it is prepared; None for all there are."""

    def did(self, units: int) -> None:
        """The cycle is over, after so many units."""


class Scheduler:
    """One leader's working life. Its snapshot is folded from the log when it takes over.

    With `kept` it begins from the state kept there, and keeps its own now and then. Without a
    `pace` each cycle decides for the whole queue.
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
        pace: Pace | None = None,
    ) -> None:
        """Without a `ward` to tell of it, an event that cannot be read ends it."""
        self._store = store
        self._stream = stream
        self._epoch = epoch
        self._now = now
        self._recorded = store.head()
        """What a leader has decided up to here is in the log; a stream may be behind that."""
        self._reading = Reading(store, stream, ROLE, ward)
        self._kept, self._place, self._pace = kept, place, pace
        self._cursor: Cursor | None = None
        """Where in the queue the next cycle goes on; None for the top."""
        self._policy = 0
        """The version of the policy in this round."""
        self._news = False
        """Whether anything happened since this round began."""
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
                prepare(self.snapshot)
                self._stream.wait(1.0)

    def cycle(self) -> bool:
        """One cycle; whether it decided anything.

        1. follow the log, at least to what this leader and those before it recorded: whoever
           decided without that would give away twice what is free once;
        2. conclude what agents reported and append it; follow again, to see it recorded, and
           conclude what came meanwhile;
        3. plan and append the decisions; also each interval while jobs wait, where time counts,
           and when a reserved window begins or ends. As much as the pace allows: the next cycle
           goes on behind, and with that it is a round; after one in which anything happened
           there is another.
        Each transaction of decisions begins with its receipt. A rival's write makes a transaction
        fail as a whole; the next cycle sees it and decides anew.
        """
        self._news |= self._follow() or self._time_counts()
        self._due |= self._news
        if not self._due or self._behind():
            return False
        failpoint("scheduler.followed")
        began = self._now()
        while self._conclude():
            failpoint("scheduler.concluded")
            self._news |= self._follow()
            if self._behind():
                return True
        if self._cursor is None or self._policy != self.snapshot.policy.version:
            self._cursor, self._policy = None, self.snapshot.policy.version
            self._planned, self._news = self._now(), False
        more = self._plan()
        if more is None:  # what the rival wrote is news once it is read
            self._news = False
        self._due = bool(more) or self._news
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

    def _conclude(self) -> bool:
        """Decide what follows from reports and append it; whether anything was recorded."""
        now = self._now()
        decisions = decide(Step.CONCLUDE, self.snapshot, now)
        if not decisions:
            self.snapshot.touched.clear()
        return self._append(with_receipts(Step.CONCLUDE, self.snapshot, now, decisions, CHUNK)) > 0

    def _plan(self) -> bool | None:
        """Plan as far as the pace allows and append it; whether the next cycle is to go on.

        None if a rival was first: what it wrote is still to be read, and until then nothing else
        comes of it.
        """
        now = self._now()
        if self._pace is not None:
            self._pace.begin()
        cycle = Cycle(self.snapshot, now, self._cursor)
        bound = Bound(self._units(), self._cursor)
        made = cycle.run(bound.units)
        if self._pace is not None:
            self._pace.did(made.units)
        if self._place is not None:
            self._place.planned(len(self.snapshot.lines.by_key), made.left)
        decisions = planned(self.snapshot, made, now)
        failpoint("scheduler.planned")
        parts = with_receipts(Step.PLAN, self.snapshot, now, decisions, CHUNK, bound)
        if self._append(parts) < len(parts):
            return None  # and from the same cursor: what was not recorded is decided once more
        self._cursor = made.cursor
        return made.more

    def _units(self) -> int | None:
        budget = self.snapshot.policy.scheduler.cycle_budget_ms
        return None if self._pace is None else self._pace.bound(budget)

    def _append(self, parts: Sequence[Sequence[Change]]) -> int:
        """Record the parts of a step; how many were before a rival's write."""
        for number, changes in enumerate(parts):
            try:
                appended = self._store.append(changes, epoch=self._epoch)
                failpoint("scheduler.recorded")
            except VersionConflict:
                log.info("another writer was first: deciding anew")
                return number
            self._recorded = max(self._recorded, appended[-1].position)
        return len(parts)
