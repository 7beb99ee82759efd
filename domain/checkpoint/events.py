"""Everything that can have happened to a job's checkpoints. Only digests: no payload."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.event import Event
from domain.values.ids import JobId


class CheckpointCause(StrEnum):
    """Why the job saved."""

    INTERVAL = "interval"
    STOP = "stop"  # asked to stop: preempted, suspended, drained...
    EXIT = "exit"  # found when the seat ended by itself


@dataclass(frozen=True)
class Manifest:
    """A rank's saved files: the SHA-256 of its manifest, which names every chunk."""

    rank: int
    digest: str
    files: int
    bytes: int
    new_bytes: int  # what no earlier checkpoint had stored


@dataclass(frozen=True)
class Committed(Event, name="checkpoint.committed.v1"):
    """Checkpoint `number` of the job is complete and can be restored."""

    job: JobId
    attempt: int
    number: int
    cause: CheckpointCause
    manifest: Manifest


@dataclass(frozen=True)
class Restored(Event, name="checkpoint.restored.v1"):
    """The attempt's rank began with the files of this manifest, hashes verified."""

    job: JobId
    attempt: int
    rank: int
    digest: str


CheckpointEvent = Committed | Restored
"""Any event on a job's checkpoint stream."""
