"""The log in memory: optimistic concurrency, epochs and keys as in `infra.store`, and observers.

As in `infra.outbox`, it also knows how far it was relayed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import StaleWriter, Unavailable
from domain.event import Recorded, StreamId
from domain.job.events import PriorityChanged
from infra.codec import UnknownEvent, poison, to_stored
from infra.failover import EPOCHS, POSITIONS
from infra.outbox import NOTHING, Anchor, Row
from infra.recorder import Answer, Epoch, Session
from infra.store import Change, KeyTaken, Log, Saved, VersionConflict
from tests.simulation.guards import Guard

Observer = Callable[[list[Recorded], Epoch | None, Answer | None], None]


@dataclass(frozen=True)
class LogCopy:
    """What a standby has of the log."""

    events: list[Recorded]
    streams: dict[StreamId, list[Recorded]]
    answers: dict[tuple[str, str], Saved]
    epochs: dict[str, int]
    relayed: Anchor


class MemoryLog(Log):
    """The log of one cell. A refused append leaves a gap in the positions, as Postgres does.

    `unreadable` are positions of poison: events this code cannot read until they are mended.
    `seen` counts what rivals ran into.
    """

    def __init__(self, clock: Callable[[], int], off: frozenset[Guard] = frozenset()) -> None:
        self._clock = clock
        self._off = off
        self._events: list[Recorded] = []
        self._positions: list[int] = []
        self._next = 1
        self._streams: dict[StreamId, list[Recorded]] = {}
        self._answers: dict[tuple[str, str], Saved] = {}
        self.epochs: dict[str, int] = {}
        self._relayed = NOTHING
        self._rows: dict[int, Row] = {}
        self._holds: set[str] = set()
        self.failovers = 0
        self.poison_next = False
        self.unreadable: set[int] = set()
        self.seen: Counter[str] = Counter()
        self.holds: Callable[[Session], bool] = lambda _: True
        self.taken: Callable[[Epoch], None] = lambda _: None
        self.noted: Callable[[Epoch], None] = lambda _: None
        self.observers: list[Observer] = []

    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        changes = [change for change in changes if change.events]
        if not changes:
            return []
        first = self._next
        self._next += sum(len(change.events) for change in changes)
        if epoch is not None and Guard.EPOCH not in self._off:
            self._assert_epoch(epoch, "a write of a leader that is over")
        stale = session is not None and not self.holds(session)
        if stale and Guard.REGISTRATION not in self._off:
            self.seen["a write of a session that is over"] += 1
            raise StaleWriter("stale_lease", "the node's lease was lost meanwhile")
        self._check(changes, answer, epoch)
        recorded = self._record(changes, first, epoch)
        if answer is not None:
            self._answers[answer.principal, answer.key] = Saved(
                answer.fingerprint, answer.status, answer.response, recorded[-1].position
            )
        for observer in self.observers:
            observer(recorded, epoch, answer)
        return recorded

    def _assert_epoch(self, epoch: Epoch, what: str) -> None:
        if self.epochs.get(epoch.role) != epoch.number:
            self.seen[what] += 1
            raise StaleWriter("stale_epoch", "another leader has taken over")

    def _check(self, changes: Sequence[Change], answer: Answer | None, epoch: Epoch | None) -> None:
        versions: dict[StreamId, int] = {}
        for change in changes:
            known = versions.get(change.stream, len(self._streams.get(change.stream, ())))
            if change.version != known and Guard.VERSIONS not in self._off:
                self._note_rival(change.stream, epoch)
                raise VersionConflict("version_conflict", "another writer was first: try again")
            versions[change.stream] = known + len(change.events)
        taken = answer is not None and (answer.principal, answer.key) in self._answers
        if taken and Guard.KEYS not in self._off:
            raise KeyTaken("key_taken", "the idempotency key was just used")

    def _note_rival(self, stream: StreamId, epoch: Epoch | None) -> None:
        self.seen["two writers at once"] += 1
        first = self._streams[stream][-1].event if stream in self._streams else None
        if epoch is not None and isinstance(first, PriorityChanged):
            self.seen["a priority changed while it was placed"] += 1

    def _record(self, changes: Sequence[Change], first: int, epoch: Epoch | None) -> list[Recorded]:
        number, at = epoch.number if epoch else None, self.now()
        if self._events:
            at = max(at, self._events[-1].recorded_at)
        recorded: list[Recorded] = []
        for change in changes:
            stream = self._streams.setdefault(change.stream, [])
            for event in change.events:
                position, version = first + len(recorded), len(stream) + 1
                item = Recorded(position, change.stream, version, at, change.meta, number, event)
                stream.append(item)
                recorded.append(item)
        if self.poison_next:
            self.poison_next = False
            self.unreadable.add(first)
        self._events += recorded
        self._positions += [item.position for item in recorded]
        return recorded

    def read(self, after: int, limit: int = 1000) -> list[Recorded]:
        return self._readable(self.events(after, limit))

    def wait(self, seconds: float) -> None:
        """Nothing: the loop calls when there is something."""

    def events(self, after: int, limit: int) -> list[Recorded]:
        """The same, for somebody who can read them all."""
        start = bisect_right(self._positions, after)
        return self._events[start : start + limit]

    def rows(self, after: int, limit: int) -> list[Row]:
        """Rows with positions above `after`, in log order, at most `limit`."""
        start = bisect_right(self._positions, after)
        return [self._row(event) for event in self._events[start : start + limit]]

    def _row(self, item: Recorded) -> Row:
        row = self._rows.get(item.position)
        if row is None:
            stored = to_stored(item.stream, item.version, item.event, item.meta, item.epoch)
            place = (item.position, item.stream, item.version)
            row = Row(*place, stored.topic, stored.state, item.recorded_at)
            self._rows[item.position] = row  # no position is given twice
        return row

    def before(self, position: int) -> int:
        """The position of the event before."""
        index = bisect_left(self._positions, position)
        return self._positions[index - 1] if index else 0

    def anchor(self) -> Anchor:
        """How far the log was relayed."""
        return self._relayed

    def advance(self, anchor: Anchor, epoch: Epoch) -> None:
        """Note how far the log was relayed; StaleWriter if another relay leads."""
        if Guard.NOTED not in self._off:
            self._assert_epoch(epoch, "a position of a relay that is over")
        self.noted(epoch)
        self._relayed = anchor

    def stream(self, stream: StreamId, after: int = 0) -> list[Recorded]:
        events = self._streams.get(stream, [])[after:]
        readable = self._readable(events)
        if len(readable) < len(events):
            self._readable(events[len(readable) :])
        return readable

    def _readable(self, events: list[Recorded]) -> list[Recorded]:
        """Events up to the first that is bad; UnknownEvent where that is the first of all."""
        if self.unreadable:
            for number, event in enumerate(events):
                if event.position in self.unreadable:
                    if number:
                        return events[:number]
                    self.seen["a poison event"] += 1
                    raise UnknownEvent(poison(event, ValueError("cannot be read here")))
        return events

    def head(self) -> int:
        return self._positions[-1] if self._positions else 0

    def now(self) -> int:
        return self._clock()

    def recall(self, principal: str, key: str) -> Saved | None:
        return None if Guard.KEYS in self._off else self._answers.get((principal, key))

    def take_role(self, role: str, holder: str) -> Epoch:  # noqa: ARG002 - nobody asks
        if role in self._holds and Guard.HOLD not in self._off:
            raise Unavailable("failover", "agents are reconciled first")
        self._holds.discard(role)  # who leads is in the row that held the role
        self.epochs[role] = self.epochs.get(role, 0) + 1
        epoch = Epoch(role, self.epochs[role])
        self.taken(epoch)
        return epoch

    def held(self) -> bool:
        """Whether the time after a failover is not over in which nothing begins."""
        return bool(self._holds)

    def release(self, failovers: int) -> None:
        """The time is over, if there was no other failover since."""
        if failovers == self.failovers:
            self._holds.clear()

    def copy(self) -> LogCopy:
        """What a standby has that got everything so far."""
        streams = {stream: list(events) for stream, events in self._streams.items()}
        answers, epochs = dict(self._answers), dict(self.epochs)
        return LogCopy(list(self._events), streams, answers, epochs, self._relayed)

    def fail_over(self, standby: LogCopy) -> list[Recorded]:
        """Go on with what the standby has, as `infra.failover` does; what was lost."""
        self.failovers += 1
        lost = self._events[len(standby.events) :]
        self._events, self._streams = standby.events, standby.streams
        self._answers, self._relayed = standby.answers, standby.relayed
        self._positions = [event.position for event in self._events]
        self._next += POSITIONS
        self.unreadable = {p for p in self.unreadable if p <= self.head()}
        over = 0 if Guard.RAISE in self._off else EPOCHS
        for role in self.epochs:
            self.epochs[role] = standby.epochs.get(role, 0) + over
        self._holds = set(self.epochs)
        return lost
