"""Decisions: what a step of the scheduler's cycle appends, from the snapshot and the time alone."""

from __future__ import annotations

from collections.abc import Sequence

from domain.allocation import allocation as allocations
from domain.event import Change, Event, Meta, StreamId, stream_of
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.job import Job
from domain.job.migrate import explain_migration
from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.budgets import stop_at
from domain.scheduling.conclude import Conclusion, conclude, settle
from domain.scheduling.events import Step
from domain.scheduling.grace import grace_of
from domain.scheduling.made import Placement, Plan
from domain.scheduling.plan import plan
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId
from domain.values.time import SECOND

ACTOR = "scheduler"
Decision = list[Change]
"""Changes that are recorded together or not at all."""


def decide(step: Step, snapshot: Snapshot, now: int, bound: Bound = WHOLE) -> list[Decision]:
    """What the step decides at `now`: the same for the same snapshot, wherever it is computed.

    `bound` is that of a plan.
    """
    if step is Step.CONCLUDE:
        concluded = [_conclusion(snapshot, found) for found in conclude(snapshot, now)]
        settled = [[_of_job(snapshot, job, events)] for job, events in settle(snapshot, now)]
        return concluded + settled
    return planned(snapshot, plan(snapshot, now, bound), now)


def planned(snapshot: Snapshot, made: Plan, now: int) -> list[Decision]:
    """A plan as the events that carry it out; those of it that change nothing are left out."""
    decisions = [_placement(snapshot, placement) for placement in made.placements]
    for preemption in made.preemptions:
        victim = snapshot.jobs[preemption.victim]
        deadline = now + grace_of(victim, snapshot) * SECOND
        preemptor, kept = preemption.preemptor, preemption.kept
        asked = jobs.preempt(victim, StopCause.PRIORITY, preemptor, deadline, kept)
        decisions.append([_of_job(snapshot, victim, asked)])
    for move in made.moves:
        mover = snapshot.jobs[move.job]
        deadline = now + grace_of(mover, snapshot) * SECOND
        asked = jobs.preempt(mover, StopCause.MIGRATION, None, deadline, move.seats)
        decisions.append([_of_job(snapshot, mover, asked)])
    for stay in made.stays:
        mover = snapshot.jobs[stay.job]
        decisions.append([_of_job(snapshot, mover, explain_migration(mover, stay.reason))])
    for wait in made.waits:
        job = snapshot.jobs[wait.job]
        told = jobs.explain_wait(job, wait.reason)
        if told:
            decisions.append([_of_job(snapshot, job, told)])
    return decisions


def _conclusion(snapshot: Snapshot, found: Conclusion) -> Decision:
    changes = [
        _of_allocation(snapshot, found.allocation.id, found.allocation_events, found.job),
        _of_job(snapshot, found.job, found.job_events),
    ]
    return [change for change in changes if change.events]


def _placement(snapshot: Snapshot, placement: Placement) -> Decision:
    job = snapshot.jobs[placement.job]
    attempt, payer = job.attempt + 1, snapshot.inheritance.of(job).user
    allocation = AllocationId(f"alloc-{job.id.removeprefix('job-')}-{attempt}")
    boots = tuple(snapshot.nodes[seat.node].node.offer.boot for seat in placement.seats)
    granted = allocations.grant(
        allocation,
        job.id,
        attempt,
        placement.seats,
        boots,
        job.spec.resources,
        gpu_model=placement.gpu_model,
        user=job.submitted_by,
        exclusive=job.spec.where.exclusive,
        labels=job.spec.labels,
        terms=placement.terms,
        payer="" if payer == job.submitted_by else payer,
    )
    terms, grace, score = placement.terms, grace_of(job, snapshot), snapshot.policy.scheduler.score
    until = None if terms is None else stop_at(terms, grace)
    placed = jobs.place(job, allocation, placement.seats, score, until)
    return [
        _of_allocation(snapshot, allocation, granted, job),
        _of_job(snapshot, job, placed),
    ]


def _of_job(snapshot: Snapshot, job: Job, events: Sequence[Event]) -> Change:
    return _change(snapshot, stream_of("job", job.id), events, job)


def _of_allocation(
    snapshot: Snapshot, allocation: AllocationId, events: Sequence[Event], job: Job
) -> Change:
    return _change(snapshot, stream_of("allocation", allocation), events, job)


def _change(snapshot: Snapshot, stream: StreamId, events: Sequence[Event], job: Job) -> Change:
    meta = Meta(ACTOR, f"event:{snapshot.position}", job.id, job.spec.project)
    return Change(stream, snapshot.versions.get(stream, 0), events, meta)
