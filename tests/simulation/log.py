"""The log in memory: optimistic concurrency, epochs and keys as in `infra.store`, and observers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from domain.errors import StaleWriter
from domain.event import Recorded, StreamId
from infra.recorder import Answer, Epoch, Session
from infra.store import Change, KeyTaken, Log, Saved, VersionConflict
from tests.simulation.guards import Guard

Observer = Callable[[list[Recorded], Epoch | None, Answer | None], None]


class MemoryLog(Log):
    """The log of one cell. A refused append leaves a gap in the positions, as Postgres does."""

    def __init__(self, clock: Callable[[], int], off: frozenset[Guard] = frozenset()) -> None:
        self._clock = clock
        self._off = off
        self._events: list[Recorded] = []
        self._positions: list[int] = []
        self._next = 1
        self._streams: dict[StreamId, list[Recorded]] = {}
        self._answers: dict[tuple[str, str], Saved] = {}
        self.epochs: dict[str, int] = {}
        self.holds: Callable[[Session], bool] = lambda _: True
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
        over = epoch is not None and self.epochs.get(epoch.role) != epoch.number
        if over and Guard.EPOCH not in self._off:
            raise StaleWriter("stale_epoch", "another leader has taken over")
        stale = session is not None and not self.holds(session)
        if stale and Guard.REGISTRATION not in self._off:
            raise StaleWriter("stale_lease", "the node's lease was lost meanwhile")
        self._check(changes, answer)
        recorded = self._record(changes, first, epoch)
        if answer is not None:
            self._answers[answer.principal, answer.key] = Saved(
                answer.fingerprint, answer.status, answer.response, recorded[-1].position
            )
        for observer in self.observers:
            observer(recorded, epoch, answer)
        return recorded

    def _check(self, changes: Sequence[Change], answer: Answer | None) -> None:
        versions: dict[StreamId, int] = {}
        for change in changes:
            known = versions.get(change.stream, len(self._streams.get(change.stream, ())))
            if change.version != known and Guard.VERSIONS not in self._off:
                raise VersionConflict("version_conflict", "another writer was first: try again")
            versions[change.stream] = known + len(change.events)
        taken = answer is not None and (answer.principal, answer.key) in self._answers
        if taken and Guard.KEYS not in self._off:
            raise KeyTaken("key_taken", "the idempotency key was just used")

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
        self._events += recorded
        self._positions += [item.position for item in recorded]
        return recorded

    def read(self, after: int, limit: int = 1000) -> list[Recorded]:
        start = bisect_right(self._positions, after)
        return self._events[start : start + limit]

    def stream(self, stream: StreamId, after: int = 0) -> list[Recorded]:
        return self._streams.get(stream, [])[after:]

    def head(self) -> int:
        return self._positions[-1] if self._positions else 0

    def now(self) -> int:
        return self._clock()

    def recall(self, principal: str, key: str) -> Saved | None:
        return None if Guard.KEYS in self._off else self._answers.get((principal, key))

    def take_role(self, role: str, holder: str) -> Epoch:  # noqa: ARG002 - nobody asks
        self.epochs[role] = self.epochs.get(role, 0) + 1
        return Epoch(role, self.epochs[role])
