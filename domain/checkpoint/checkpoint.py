"""The checkpoint aggregate: one stream per job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from domain.checkpoint import events as e
from domain.checkpoint.events import CheckpointCause, CheckpointEvent, Manifest
from domain.errors import Invalid, StaleWriter
from domain.values.ids import JobId


@dataclass(frozen=True)
class Checkpoints:
    """A job's checkpoints: how many, the last attempt that saved, the newest manifest by rank."""

    job: JobId
    count: int = 0
    attempt: int = 0
    latest: tuple[Manifest, ...] = ()
    restored: frozenset[tuple[int, int]] = frozenset()  # (attempt, rank)

    def of_rank(self, rank: int) -> Manifest | None:
        """The newest manifest of the rank, or None."""
        return next((m for m in self.latest if m.rank == rank), None)


def evolve(state: Checkpoints, event: CheckpointEvent) -> Checkpoints:
    """The job's checkpoints after the event."""
    match event:
        case e.Committed(attempt=attempt, number=number, manifest=manifest):
            others = tuple(m for m in state.latest if m.rank != manifest.rank)
            return replace(state, count=number, attempt=attempt, latest=(*others, manifest))
        case e.Restored(attempt=attempt, rank=rank):
            return replace(state, restored=state.restored | {(attempt, rank)})
        case _:
            assert_never(event)


def commit(
    state: Checkpoints, attempt: int, cause: CheckpointCause, manifest: Manifest
) -> list[CheckpointEvent]:
    """Record a complete checkpoint; the same files again are not a new one."""
    if len(manifest.digest) != 64 or min(manifest.files, manifest.bytes, manifest.new_bytes) < 0:
        raise Invalid("bad_manifest", "manifest: a SHA-256 and counts", field="manifest")
    if attempt < state.attempt:
        raise StaleWriter("stale_attempt", f"attempt {state.attempt} has saved since")
    known = state.of_rank(manifest.rank)
    if known is not None and known.digest == manifest.digest:
        return []
    return [e.Committed(state.job, attempt, state.count + 1, cause, manifest)]


def restored(state: Checkpoints, attempt: int, rank: int, digest: str) -> list[CheckpointEvent]:
    """Record that an attempt went on from a checkpoint."""
    if (attempt, rank) in state.restored:
        return []
    return [e.Restored(state.job, attempt, rank, digest)]
