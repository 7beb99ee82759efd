"""What would become of a job, and what would let it start: planned on what is or was so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.errors import Conflict
from domain.job.spec import JobSpec
from domain.scheduling.advice import changes
from domain.scheduling.change import kind_of, text_of
from domain.scheduling.outcome import Outcome
from domain.scheduling.outlook import Forecast, Outlook, dry_run, outlook, with_new
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId
from infra.codec import to_builtins
from infra.ids import fresh
from infra.snapshots import Snapshots
from infra.store import Log
from processors.audit.moments import Tell, folded, whole

PATIENCE_SECONDS = 5.0
"""How long changes are tried."""


@dataclass(frozen=True)
class Submission:
    """A job that a user might submit."""

    spec: JobSpec
    user: str


def foresee(
    log: Log, kept: Snapshots, job: str, until: int, then: int | None, tell: Tell
) -> dict[str, Any]:
    """How a waiting job stands in a cycle now, or at `then`. Conflict for one that does not wait.

    A position of the past in the middle of a transaction stands for all of it.
    """
    snapshot, now = _moment(log, kept, until, then, tell)
    found = outlook(snapshot, JobId(job), now)
    if found is None:
        raise Conflict("not_waiting", "the job does not wait any more")
    starts = Forecast.STARTS_NOW if found.outcome.nodes else Forecast.WOULD_WAIT
    answer = {"position": snapshot.position, "at": now, "forecast": starts}
    return {**answer, **_outlook(snapshot, found, now)}


def submit_dry(
    log: Log, kept: Snapshots, asked: Submission, until: int, then: int | None, tell: Tell
) -> dict[str, Any]:
    """What a submission now, or at `then`, would lead to; nothing is recorded."""
    snapshot, now = _moment(log, kept, until, then, tell)
    job, position = JobId(fresh("job", now)), snapshot.position
    snapshot = with_new(snapshot, job, asked.spec, asked.user, now)
    found = dry_run(snapshot, job, asked.spec, now)
    answer: dict[str, Any] = {"position": position, "at": now, "forecast": found.forecast}
    if found.verdict is not None:
        verdict = {"field": found.verdict.field, "fix": found.verdict.fix}
        return {**answer, **verdict, "reason": to_builtins(found.verdict.reason)}
    assert found.outlook is not None, "it is that or a verdict"
    return {**answer, **_outlook(snapshot, found.outlook, now)}


def _moment(
    log: Log, kept: Snapshots, until: int, then: int | None, tell: Tell
) -> tuple[Snapshot, int]:
    """The cell as of a position, and the time to plan at."""
    if then is None:
        return folded(log, kept, until, tell), log.now()
    return folded(log, kept, whole(log, until), tell), then


def _outlook(snapshot: Snapshot, found: Outlook, now: int) -> dict[str, Any]:
    mine, (go_on, whole) = found.outcome, _patience()
    advised = [] if mine.nodes else changes(snapshot, mine.job, now, go_on)
    return {
        "nodes": mine.nodes,
        "reason": None if mine.waits is None or mine.nodes else to_builtins(mine.waits),
        "place": mine.place,
        "queued": found.queued,
        "ahead": [_entry(each) for each in found.ahead],
        "asks": len(mine.asks),
        "earliest_start": found.starts.earliest,
        "latest_start": found.starts.latest,
        "deadline": found.deadline,
        "changes": [
            {"kind": kind_of(each), "text": text_of(each), "to": to_builtins(each)}
            for each in advised
        ],
        "complete": whole(),
    }


def _entry(found: Outcome) -> dict[str, Any]:
    entry = {"id": found.job, "name": found.name, "project_id": found.project}
    return {**entry, "priority": found.priority}


def _patience() -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Whether there is time for another plan; and whether there always was."""
    until, whole = time.monotonic() + PATIENCE_SECONDS, [True]

    def go_on() -> bool:
        whole[0] &= time.monotonic() < until
        return whole[0]

    return go_on, lambda: whole[0]
