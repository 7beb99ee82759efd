"""What was decided about a job and why, as of a moment: recomputed from the log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.errors import NotFound
from domain.event import Recorded, stream_of
from domain.job import job as jobs
from domain.job.events import PreemptionRequested
from domain.job.job import Job
from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.decide import ACTOR
from domain.scheduling.events import Decided, Step
from domain.scheduling.outcome import Outcome, outcomes
from domain.scheduling.receipt import digest_of, line_of
from domain.scheduling.replay import recompute
from domain.scheduling.snapshot import Snapshot
from domain.values.time import to_text
from infra.codec import to_builtins
from infra.snapshots import Snapshots
from infra.store import Log
from processors.audit.moments import Tell, events, folded, whole

AROUND = 5
"""Jobs shown before and behind it in the queue."""
INSTEAD = 20
"""Placed jobs shown at the most."""


@dataclass(frozen=True)
class Entry:
    """One place of the queue, for people and programs; `text` says what was decided about it."""

    place: int
    job: str
    name: str
    project: str
    priority: int
    queued_since: str
    nodes: tuple[str, ...]
    code: str | None
    text: str


@dataclass(frozen=True)
class Cycle:
    """A plan, seen from a job: its place, the queue around it, and who was placed."""

    read: int
    now: str
    queue_length: int
    queue: tuple[Entry, ...]
    placed: tuple[Entry, ...]
    placed_total: int


@dataclass(frozen=True)
class Decision:
    """One recorded decision. `receipt` covers it and `confirmed` says it came out again.

    Without a receipt (a log from before there were any) nothing can be confirmed.
    """

    position: int
    at: str
    name: str
    data: object
    receipt: int | None = None
    step: str | None = None
    read: int | None = None
    policy: int | None = None
    planner: int | None = None
    plan: str | None = None
    confirmed: bool = False
    cycle: Cycle | None = None


@dataclass(frozen=True)
class Explanation:
    """A job as of a position: its phase, the last decision about it, and what a cycle would say."""

    job: str
    name: str
    position: int
    at: str
    phase: str
    decision: Decision | None
    moment: Cycle | None


def explain(
    log: Log, kept: Snapshots, job: str, until: int, tell: Tell = lambda _: None
) -> Explanation:
    """What was decided about the job up to this position. NotFound for a job unknown by then.

    A position in the middle of a transaction stands for all of it.
    """
    until = whole(log, min(until, log.head()))
    history = [r for r in log.stream(stream_of("job", job)) if r.position <= until]
    if not history:
        raise NotFound("no_such_job", "there was no such job at that moment")
    state: Job | None = None
    for recorded in history:
        state = jobs.evolve(state, recorded.event)  # type: ignore[arg-type]  # a job's stream
    assert state is not None
    last = next((r for r in reversed(history) if r.meta.actor == ACTOR), None)
    snapshot = folded(log, kept, until, tell)
    at = log.read(until - 1, 1)[0].recorded_at if until else history[-1].recorded_at
    moment = None
    if state.id in snapshot.lines.of_job:
        moment = _cycle(snapshot, max(at, history[-1].recorded_at), state.id)
    return Explanation(
        job,
        state.spec.name,
        until,
        to_text(at),
        state.phase,
        None if last is None else _decision(log, kept, last, state.id, tell),
        moment,
    )


def _decision(log: Log, kept: Snapshots, found: Recorded, job: str, tell: Tell) -> Decision:
    read = int(found.meta.cause.removeprefix("event:"))
    between = list(events(log, read, found.position))
    receipt = next((r for r in reversed(between) if isinstance(r.event, Decided)), None)
    decision = Decision(
        found.position,
        to_text(found.recorded_at),
        found.event.topic,
        to_builtins(found.event),
    )
    if receipt is None or not isinstance(receipt.event, Decided):
        return decision
    given = receipt.event
    snapshot = folded(log, kept, given.read, tell)
    snapshot.touched |= set(snapshot.allocations)  # all a leader may have had to look at
    lines = recompute(snapshot, given)
    right = digest_of(lines) == given.decisions and line_of(found) in lines
    event = found.event
    is_plan = given.step is Step.PLAN
    about = event.preemptor if isinstance(event, PreemptionRequested) else job
    return replace(
        decision,
        receipt=receipt.position,
        step=given.step,
        read=given.read,
        policy=given.policy,
        planner=given.planner,
        plan=given.decisions,
        confirmed=right,
        cycle=_cycle(snapshot, given.now, about or job, given.bound) if is_plan else None,
    )


def _cycle(snapshot: Snapshot, now: int, job: str, bound: Bound = WHOLE) -> Cycle | None:
    found = outcomes(snapshot, now, bound)
    at = next((n for n, each in enumerate(found) if each.job == job), None)
    if at is None:
        return None
    placed = [each for each in found if each.nodes and each.job != job]
    return Cycle(
        snapshot.position,
        to_text(now),
        len(found),
        tuple(_entry(each) for each in found[max(0, at - AROUND) : at + AROUND + 1]),
        tuple(_entry(each) for each in placed[:INSTEAD]),
        len(placed),
    )


def _entry(found: Outcome) -> Entry:
    return Entry(
        found.place,
        found.job,
        found.name,
        found.project,
        found.priority,
        to_text(found.queued_since),
        found.nodes,
        None if found.waits is None else found.waits.code,
        _text(found),
    )


def _text(found: Outcome) -> str:
    if found.nodes:
        return f"placed on {', '.join(sorted(set(found.nodes)))}"
    text = "no decision" if found.waits is None else found.waits.text()
    return f"{text} Asked to make room: {', '.join(found.asks)}." if found.asks else text
