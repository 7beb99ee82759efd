"""The job's state machine as one table; docs/job-states.md is generated from it."""

from __future__ import annotations

from enum import StrEnum

from domain.job import events as e


class Phase(StrEnum):
    """Where a job stands."""

    __hash__ = str.__hash__  # that of an enumeration is Python, and folding asks all the time

    SUBMITTED = "submitted"
    QUEUED = "queued"
    HELD = "held"
    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    PREEMPTING = "preempting"
    STOPPING = "stopping"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


WAITING = frozenset({Phase.QUEUED, Phase.HELD, Phase.BLOCKED, Phase.SUSPENDED})
PLACED = frozenset({Phase.STARTING, Phase.RUNNING, Phase.PREEMPTING, Phase.STOPPING})
ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT})

_RULES: list[tuple[type[e.JobEvent], frozenset[Phase], Phase | None]] = [
    # event, phases it may happen in, phase after (None: the same)
    (e.Reopened, ENDED - {Phase.SUCCEEDED}, Phase.SUBMITTED),
    (e.Queued, frozenset({Phase.SUBMITTED}) | (WAITING - {Phase.QUEUED}) | PLACED, Phase.QUEUED),
    (e.Held, frozenset({Phase.SUBMITTED}), Phase.HELD),
    (e.Blocked, frozenset({Phase.SUBMITTED, Phase.HELD, Phase.SUSPENDED}), Phase.BLOCKED),
    (e.WaitExplained, frozenset({Phase.QUEUED}), None),
    (e.Placed, frozenset({Phase.QUEUED}), Phase.STARTING),
    (e.Started, frozenset({Phase.STARTING}), Phase.RUNNING),
    (e.Started, frozenset({Phase.PREEMPTING, Phase.STOPPING}), None),
    (
        e.PreemptionRequested,
        frozenset({Phase.STARTING, Phase.RUNNING}),
        Phase.PREEMPTING,
    ),
    (e.MigrationRequested, frozenset({Phase.STARTING, Phase.RUNNING}), None),
    (e.MigrationExplained, frozenset({Phase.STARTING, Phase.RUNNING}), None),
    (e.MigrationWithdrawn, frozenset({Phase.STARTING, Phase.RUNNING}), None),
    (e.StopRequested, PLACED, Phase.STOPPING),
    (e.GraceExpired, frozenset({Phase.PREEMPTING, Phase.STOPPING}), None),
    (e.AttemptEnded, PLACED, None),
    (e.RetryScheduled, PLACED, Phase.HELD),
    (
        e.Suspended,
        frozenset({Phase.QUEUED, Phase.HELD, Phase.BLOCKED, Phase.STOPPING}),
        Phase.SUSPENDED,
    ),
    (e.PriorityChanged, frozenset(Phase) - ENDED - {Phase.SUBMITTED}, None),
    (e.Succeeded, PLACED, Phase.SUCCEEDED),
    (e.Failed, PLACED, Phase.FAILED),
    (e.Cancelled, WAITING | {Phase.STOPPING}, Phase.CANCELLED),
    (e.TimedOut, frozenset({Phase.STOPPING}), Phase.TIMED_OUT),
]

TRANSITIONS: dict[tuple[Phase, type[e.JobEvent]], Phase] = {
    (before, event): after or before
    for event, phases, after in _RULES
    for before in Phase
    if before in phases
}
