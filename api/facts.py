"""Facts agents report, recorded in batches; each is answered for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictInt, StrictStr

from api.body import Body
from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.seat import Outcome
from domain.checkpoint import checkpoint as checkpoints
from domain.checkpoint.checkpoint import Checkpoints
from domain.checkpoint.events import CheckpointCause, Manifest
from domain.errors import NotFound, Refusal, StaleWriter, Unavailable
from domain.event import Event, Meta, StreamId
from domain.values.ids import AllocationId, NodeId
from infra.failpoint import failpoint
from infra.store import TRIES, Change, Log, VersionConflict, stream_of

Rank = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Text = Annotated[StrictStr, Field(max_length=128)]
Digest = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[StrictInt, Field(ge=0, lt=2**62)]


class Started(Body):
    kind: Literal["started"]
    allocation: Text
    rank: Rank
    runner: Literal["docker", "sandbox", "process"]


class Ended(Body):
    kind: Literal["ended"]
    allocation: Text
    rank: Rank
    outcome: Outcome
    exit_code: Annotated[StrictInt, Field(ge=0, le=255)] | None = None
    detail: Annotated[StrictStr, Field(max_length=2000)] = ""


class Checkpoint(Body):
    kind: Literal["checkpoint"]
    allocation: Text
    rank: Rank
    cause: CheckpointCause
    digest: Digest
    files: Count
    bytes: Count
    new_bytes: Count


class Restored(Body):
    kind: Literal["restored"]
    allocation: Text
    rank: Rank
    digest: Digest


Fact = Annotated[Started | Ended | Checkpoint | Restored, Field(discriminator="kind")]


class FactResult(BaseModel):
    """`recorded`, `known` already, or `refused` with a code."""

    status: Literal["recorded", "known", "refused"]
    code: str = ""
    detail: str = ""


def record_facts(
    log: Log, node: NodeId, session: str, facts: Sequence[Fact], meta: Meta
) -> list[FactResult]:
    """Record all acceptable facts in one transaction; a rival's write makes it decide anew."""
    for _ in range(TRIES):
        batch = _Batch(log, node, session, meta)
        results = [batch.take(fact) for fact in facts]
        try:
            log.append(batch.changes())
        except VersionConflict:
            continue
        failpoint("api.facts.recorded")
        return results
    raise Unavailable("log_busy", "other writers were first too often: try again")


class _Batch:
    """Aggregates as they will be once the facts taken so far are recorded."""

    def __init__(self, log: Log, node: NodeId, session: str, meta: Meta) -> None:
        self._log = log
        self._node = node
        self._session = session
        self._meta = meta
        self._allocations: dict[StreamId, Allocation] = {}
        self._checkpoints: dict[StreamId, Checkpoints] = {}
        self._versions: dict[StreamId, int] = {}
        self._events: dict[StreamId, list[Event]] = {}
        self._project_of: dict[StreamId, str | None] = {}

    def take(self, fact: Fact) -> FactResult:
        """Decide on one fact."""
        try:
            new = self._decide(fact)
        except Unavailable:
            raise
        except Refusal as refusal:
            return FactResult(status="refused", code=refusal.code, detail=refusal.detail)
        return FactResult(status="recorded" if new else "known")

    def changes(self) -> list[Change]:
        """What to append."""
        return [
            Change(
                stream,
                self._versions[stream],
                events,
                Meta(
                    self._meta.actor,
                    self._meta.cause,
                    self._meta.correlation,
                    self._project_of[stream],
                ),
            )
            for stream, events in self._events.items()
            if events
        ]

    def _decide(self, fact: Fact) -> bool:
        stream = stream_of("allocation", AllocationId(fact.allocation))
        allocation = self._allocation(stream)
        if isinstance(fact, Started | Ended):
            if isinstance(fact, Started):
                found = allocations.seat_started(
                    allocation, fact.rank, self._node, self._session, fact.runner
                )
            else:
                end = SeatEnd(fact.outcome, fact.exit_code, fact.detail)
                found = allocations.seat_ended(
                    allocation, fact.rank, self._node, self._session, end
                )
            for event in found:
                allocation = allocations.evolve(allocation, event)
            self._allocations[stream] = allocation
            self._events[stream] += found
            return bool(found)
        return self._save(fact, allocation, stream)

    def _save(self, fact: Checkpoint | Restored, allocation: Allocation, seat: StreamId) -> bool:
        allocations.check_seat(allocation, fact.rank, self._node, self._session)
        if allocation.released:
            raise StaleWriter("stale_attempt", "the attempt is over")
        stream = stream_of("checkpoint", allocation.job)
        state = self._saved(stream, allocation)
        self._project_of[stream] = self._project_of[seat]
        if isinstance(fact, Checkpoint):
            manifest = Manifest(fact.rank, fact.digest, fact.files, fact.bytes, fact.new_bytes)
            found = checkpoints.commit(state, allocation.attempt, fact.cause, manifest)
        else:
            found = checkpoints.restored(state, allocation.attempt, fact.rank, fact.digest)
        for event in found:
            state = checkpoints.evolve(state, event)
        self._checkpoints[stream] = state
        self._events[stream] += found
        return bool(found)

    def _allocation(self, stream: StreamId) -> Allocation:
        if stream not in self._allocations:
            history = self._log.stream(stream)
            if not history:
                raise NotFound("no_such_allocation", "there is no such allocation")
            state: Allocation | None = None
            for item in history:
                state = allocations.evolve(state, item.event)  # type: ignore[arg-type]  # its stream
            assert state is not None
            self._allocations[stream] = state
            self._versions[stream] = history[-1].version
            self._project_of[stream] = history[0].meta.project
            self._events[stream] = []
        return self._allocations[stream]

    def _saved(self, stream: StreamId, allocation: Allocation) -> Checkpoints:
        if stream not in self._checkpoints:
            state, version = self._log.load(stream, checkpoints.evolve, Checkpoints(allocation.job))
            self._checkpoints[stream] = state
            self._versions[stream] = version
            self._events[stream] = []
        return self._checkpoints[stream]
