"""Outlook: what a cycle decides about a queued job, who is ahead, and when it may start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.policy.events import Backfill, SchedulerSet
from domain.scheduling.admission import Fleet, Verdict
from domain.scheduling.change import POLICY
from domain.scheduling.grace import grace_of
from domain.scheduling.outcome import Outcome, outcomes
from domain.scheduling.plan import plan
from domain.scheduling.reason import WaitCode
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.trial import fork, submitted, tell
from domain.values.ids import JobId
from domain.values.time import SECOND

AHEAD = 10
"""Jobs ahead that are named."""


class Forecast(StrEnum):
    """What would become of a job that was submitted now."""

    STARTS_NOW = "starts_now"
    WOULD_WAIT = "would_wait"
    CAN_NEVER_RUN = "can_never_run"


class Deadline(StrEnum):
    """Whether a job would end by its deadline, by when it is estimated to start."""

    MET = "met"
    AT_RISK = "at_risk"  # if it starts early, not if it starts late
    MISSED = "missed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Span:
    """When a job may start (microseconds): `earliest` if everybody ends as estimated, `latest` if
    they run as long as they may; None where that cannot be foreseen."""

    earliest: int | None = None
    latest: int | None = None


@dataclass(frozen=True)
class Outlook:
    """A queued job in the plan of a cycle; `ahead` are the first of the `place` - 1 before it."""

    outcome: Outcome
    queued: int
    ahead: tuple[Outcome, ...]
    starts: Span
    deadline: Deadline | None = None


@dataclass(frozen=True)
class DryRun:
    """What a submission would lead to; `verdict` says why it can never run."""

    forecast: Forecast
    verdict: Verdict | None = None
    outlook: Outlook | None = None


def fleet_of(snapshot: Snapshot) -> Fleet:
    """The fleet by which submissions are judged."""
    states = snapshot.nodes.values()
    alive = any(state.node.alive for state in states)
    return Fleet((state.node.offer for state in states), snapshot.policy, alive=alive)


def with_new(snapshot: Snapshot, job: JobId, spec: JobSpec, user: str, now: int) -> Snapshot:
    """A copy in which the job was just submitted, and nobody holds it."""
    copy = fork(snapshot)
    tell(copy, submitted(job, replace(spec, hold=False), user, now), now)
    return copy


def dry_run(snapshot: Snapshot, job: JobId, spec: JobSpec, now: int) -> DryRun:
    """What the submission `spec` leads to; `snapshot` is with it as `job` (`with_new`)."""
    verdict = None if spec.accept_when_absent else fleet_of(snapshot).judge(spec)
    if verdict is not None:
        return DryRun(Forecast.CAN_NEVER_RUN, verdict)
    found = outlook(snapshot, job, now)
    assert found is not None, "it is queued in this snapshot"
    starts = found.outcome.nodes and not spec.hold
    return DryRun(Forecast.STARTS_NOW if starts else Forecast.WOULD_WAIT, outlook=found)


def outlook(snapshot: Snapshot, job: JobId, now: int) -> Outlook | None:
    """How the queued job stands in a cycle at `now`; None if it does not wait."""
    found = outcomes(snapshot, now)
    at = next((n for n, each in enumerate(found) if each.job == job), None)
    if at is None:
        return None
    mine = found[at]
    span = Span(now, now) if mine.nodes else _span(snapshot, mine, now)
    deadline = _deadline(snapshot.jobs[job].spec, span)
    return Outlook(mine, len(found), tuple(found[:at][:AHEAD]), span, deadline)


def _span(snapshot: Snapshot, mine: Outcome, now: int) -> Span:
    if mine.waits is not None and mine.waits.code is WaitCode.PREEMPTING:
        return _after_victims(snapshot, mine, now)
    earliest = _start(fork(snapshot), mine.job, now)
    if earliest is None:
        earliest = _start(_alone(fork(snapshot), mine.job), mine.job, now)
    jobs = {name: _by_limit(job) for name, job in snapshot.jobs.items()}
    latest = _start(fork(snapshot, jobs), mine.job, now)
    if latest is not None and earliest is not None:
        earliest, latest = min(earliest, latest), max(earliest, latest)
    return Span(earliest, latest)


def _after_victims(snapshot: Snapshot, mine: Outcome, now: int) -> Span:
    """Once those that make room have left: now at the earliest, after their grace at the latest."""
    ends = [now + grace_of(snapshot.jobs[job], snapshot) * SECOND for job in mine.asks]
    leaving = [snapshot.jobs[job] for job in sorted(snapshot.leaving)]
    ends += [job.stop_deadline or now for job in leaving if job.preemptor == mine.job]
    return Span(now, max([now, *ends]))


def _start(snapshot: Snapshot, job: JobId, now: int) -> int | None:
    """The start that is held for it if one is held for everybody, as far as that goes."""
    settings = snapshot.policy.scheduler
    held = replace(settings, enable_backfill=True, backfill=Backfill.CONSERVATIVE)
    tell(snapshot, [(POLICY, SchedulerSet(held))], now)
    made = plan(snapshot, now)
    placed = any(each.job == job for each in made.placements)
    return now if placed else made.starts.get(job)


def _alone(snapshot: Snapshot, job: JobId) -> Snapshot:
    """The cell without all others that wait."""
    for other in [each for each in snapshot.lines.of_job if each != job]:
        snapshot.lines.remove(other)
    return snapshot


def _by_limit(job: Job) -> Job:
    """The job as if it ran as long as it may, for ever without a time limit."""
    if job.spec.estimate_seconds is None:
        return job
    return replace(job, spec=replace(job.spec, estimate_seconds=None))


def _deadline(spec: JobSpec, span: Span) -> Deadline | None:
    if spec.deadline is None:
        return None
    if span.earliest is None:
        return Deadline.UNKNOWN
    runs = (spec.expected_seconds or 0) * SECOND
    if span.earliest + runs > spec.deadline:
        return Deadline.MISSED
    if span.latest is None or span.latest + runs > spec.deadline:
        return Deadline.AT_RISK
    return Deadline.MET
