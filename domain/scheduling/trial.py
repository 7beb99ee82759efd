"""A trial: the cell as it is but for something, planned on a copy, and taken back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from domain.event import Event, Meta, Recorded, StreamId, stream_of
from domain.job import events as e
from domain.job.events import QueuedCause
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.scheduling.saved import pack, unpack
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId

Told = tuple[StreamId, Event]
"""An event of a trial and its stream."""


def fork(snapshot: Snapshot, jobs: dict[JobId, Job] | None = None) -> Snapshot:
    """A copy that changes by itself, of the jobs with these in their place where they are given."""
    kept = pack(snapshot)
    tables: dict[str, Any] = {
        each.name: dict(value)
        for each in fields(kept)
        if isinstance(value := getattr(kept, each.name), dict)
    }
    tables["asked"] = {job: replace(asked) for job, asked in kept.asked.items()}
    if jobs is not None:
        tables["jobs"] = jobs
    copy = unpack(replace(kept, **tables))
    copy.board_from = snapshot.board_from
    return copy


def tell(snapshot: Snapshot, told: Iterable[Told], now: int) -> None:
    """Take these events in, as if they were recorded next."""
    for stream, event in told:
        version = snapshot.versions.get(stream, 0) + 1
        meta = Meta("trial", "trial", "trial")
        at = snapshot.position + 1
        snapshot.apply(Recorded(at, stream, version, now, meta, None, event))


@contextmanager
def told(
    snapshot: Snapshot, forth: Sequence[Told], back: Sequence[Told], now: int
) -> Iterator[None]:
    """The snapshot with these events, and afterwards with those that take them back."""
    position, versions = snapshot.position, dict.fromkeys(stream for stream, _ in (*forth, *back))
    known = {stream: snapshot.versions.get(stream) for stream in versions}
    tell(snapshot, forth, now)
    try:
        yield
    finally:
        tell(snapshot, back, now)
        snapshot.position = position
        for stream, version in known.items():
            if version is not None:
                snapshot.versions[stream] = version


def respecified(job: Job, spec: JobSpec) -> list[Told]:
    """The queued job with another specification, at its place in the queue."""
    stream = stream_of("job", job.id)
    again = e.Reopened(job.id, spec, job.submitted_by, job.priority, job.attempt)
    since, name, user = job.queued_since, spec.name, job.submitted_by
    queued = e.Queued(QueuedCause.REQUEUED, since, job.priority, name, user)
    return [(stream, again), (stream, queued)]


def submitted(job: JobId, spec: JobSpec, user: str, now: int) -> list[Told]:
    """A new job in the queue."""
    stream = stream_of("job", job)
    queued = e.Queued(QueuedCause.SUBMITTED, now, spec.priority, spec.name, user)
    return [(stream, e.Submitted(job, spec, user)), (stream, queued)]
