"""What a stretch of history asked of the cell: the part of it that no scheduler decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low

from domain.allocation.seat import Outcome
from domain.event import Recorded
from domain.job import events as e
from domain.job.spec import JobSpec
from domain.node.events import NodeEvent
from domain.policy.events import PolicyEvent
from domain.project.events import BudgetsSet, InheritanceSet, QuotaSet
from domain.reservation.events import ReservationEvent
from domain.scheduling.decide import ACTOR
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId

TOLD = (
    e.Submitted
    | e.PriorityChanged
    | NodeEvent
    | PolicyEvent
    | QuotaSet
    | BudgetsSet
    | InheritanceSet
    | ReservationEvent
)
"""Events of others that are told again as they are."""
ASKED = (
    e.Held
    | e.Blocked
    | e.Queued
    | e.Cancelled
    | e.Suspended
    | e.StopRequested
    | e.Reopened
    | e.MigrationRequested
    | e.MigrationWithdrawn
)
"""Events of people that are asked for again, and happen as the job's state then allows."""


@dataclass(frozen=True)
class Run:
    """An attempt that ended by itself: how long it held its seats and started, and how it ended."""

    lasted: int
    started: int
    outcome: Outcome
    exit_code: int | None


@dataclass
class Script:
    """Events to tell or ask for again in order, and what is known of how long jobs run.

    `leaving_us` is how long jobs took that were asked to leave (the median), None where none were.
    `left_out` counts events of others that are neither told nor asked for again.
    """

    events: list[Recorded] = field(default_factory=list)
    runs: dict[JobId, list[Run]] = field(default_factory=dict)
    leaving_us: int | None = None
    starting_us: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def script(start: Snapshot, at: int, history: Iterable[Recorded]) -> Script:
    """The script of the history that follows the state `start`, which held at `at`.

    A run that was under way at `at` counts from then on.
    """
    found = Script()
    placed = {job.id: at for job in start.jobs.values() if job.allocation is not None}
    begun = {job.id: 0 for job in start.jobs.values() if job.started_at is not None}
    asked: dict[JobId, int] = {}
    leaving: list[int] = []
    starting: list[int] = []
    specs: dict[JobId, JobSpec] = {job.id: job.spec for job in start.jobs.values()}
    for recorded in history:
        event, when = recorded.event, recorded.recorded_at
        job = JobId(recorded.stream.partition("/")[2])
        if isinstance(event, e.Submitted):
            specs[job] = event.spec
        if isinstance(event, e.Placed):
            placed[job] = when
        elif isinstance(event, e.Started) and job in placed:
            begun[job] = max(0, when - placed[job])
            starting.append(begun[job])
        elif isinstance(event, e.PreemptionRequested | e.StopRequested):
            asked[job] = when
        elif isinstance(event, e.AttemptEnded) and job in placed:
            began, start_us = placed.pop(job), begun.pop(job, 0)
            if job in asked and event.outcome is Outcome.STOPPED:
                leaving.append(when - asked[job])
            own = event.outcome not in (Outcome.STOPPED, Outcome.LOST)
            if own or _timed_out(specs[job], when - began - start_us):
                run = Run(when - began, start_us, event.outcome, event.exit_code)
                found.runs.setdefault(job, []).append(run)
            asked.pop(job, None)
        _tell(found, recorded)
    found.leaving_us = median_low(leaving) if leaving else None
    found.starting_us = median_low(starting) if starting else 0
    return found


def _timed_out(spec: JobSpec, ran: int) -> bool:
    return spec.time_limit_seconds is not None and ran >= spec.time_limit_seconds * 1_000_000


def _tell(found: Script, recorded: Recorded) -> None:
    event = recorded.event
    if recorded.meta.actor == ACTOR:
        return
    if isinstance(event, TOLD) or (isinstance(event, ASKED) and _by_people(event)):
        found.events.append(recorded)
    elif isinstance(event, e.JobEvent):
        found.left_out[event.topic] += 1


def _by_people(event: ASKED) -> bool:
    """Whether someone asked for it; else a timer did, and timers are rehearsed."""
    if isinstance(event, e.Queued):
        return event.cause is not e.QueuedCause.RETRY
    if isinstance(event, e.StopRequested):
        return event.cause not in (e.StopCause.TIME_LIMIT, e.StopCause.BUDGET)
    return True
