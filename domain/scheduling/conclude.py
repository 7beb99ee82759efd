"""Conclusions: what follows from the facts agents reported, before anything new is planned."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.events import AllocationEvent
from domain.allocation.seat import Outcome
from domain.job import job as jobs
from domain.job.events import JobEvent, StopCause
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.scheduling.grace import grace_of
from domain.scheduling.moving import moving
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId
from domain.values.time import SECOND


@dataclass(frozen=True)
class Conclusion:
    """Events for an allocation and its job, recorded together."""

    allocation: Allocation
    job: Job
    allocation_events: list[AllocationEvent]
    job_events: list[JobEvent]


def conclude(snapshot: Snapshot, now: int) -> list[Conclusion]:
    """What follows for every allocation that was touched or has to move, oldest first.

    1. seats on a node that was lost or restarted are lost;
    2. all seats started: the job runs;
    3. a seat failed or was lost while others run: the others are asked to end;
    4. the node is drained, or kept from the job by a window that comes: the job moves away;
    5. all seats ended: the attempt ends with its consequence, and the allocation is released.
    """
    found = []
    moves = moving(snapshot, now)
    for allocation_id in sorted(snapshot.touched | moves):
        allocation = snapshot.allocations.get(allocation_id)
        if allocation is None or f"job/{allocation.job}" in snapshot.held_out:
            continue
        conclusion = _conclude(snapshot, allocation, moves, now)
        if conclusion.allocation_events or conclusion.job_events:
            found.append(conclusion)
    return found


def settle(snapshot: Snapshot, now: int) -> list[tuple[Job, list[JobEvent]]]:
    """What follows for blocked jobs: into the queue, or given up for one that had to succeed."""
    dependents = snapshot.dependents
    found = []
    for name in sorted(dependents.ready):
        if f"job/{name}" not in snapshot.held_out:
            job, failed = snapshot.jobs[name], dependents.failed.get(name)
            found.append((job, jobs.give_up(job, failed) if failed else jobs.unblock(job, now)))
    return found


def _conclude(
    snapshot: Snapshot, allocation: Allocation, moves: set[AllocationId], now: int
) -> Conclusion:
    job = snapshot.jobs[allocation.job]
    allocation_events: list[AllocationEvent] = []
    for seat in allocation.seats:
        node = snapshot.nodes[seat.node].node
        if not node.alive or node.offer.boot != allocation.boots[seat.rank]:
            allocation_events += allocations.lose_seat(allocation, seat.rank)
    for lost in allocation_events:
        allocation = allocations.evolve(allocation, lost)
    job_events: list[JobEvent] = []
    if allocation.all_started and job.started_at is None:
        job_events += jobs.start(job, allocation.attempt, now)
    if allocation.all_ended:
        for event in job_events:
            job = jobs.evolve(job, event)
        job_events += _end(job, allocation, now)
        allocation_events += allocations.release(allocation, job.spec.project)
    else:
        job_events += _ask_to_leave(snapshot, allocation, job, moves, now)
    return Conclusion(allocation, snapshot.jobs[allocation.job], allocation_events, job_events)


def _end(job: Job, allocation: Allocation, now: int) -> list[JobEvent]:
    end = allocation.deciding_end
    assert end is not None, "all seats ended"
    return jobs.end_attempt(
        job,
        allocation.attempt,
        end.outcome,
        end.exit_code,
        end.detail,
        now=now,
        jitter_milli=jitter(job),
    )


def _ask_to_leave(
    snapshot: Snapshot, allocation: Allocation, job: Job, moves: set[AllocationId], now: int
) -> list[JobEvent]:
    deadline = now + grace_of(job, snapshot) * SECOND
    if job.phase not in (Phase.STARTING, Phase.RUNNING):
        return []  # its seats were all asked to end; why stays as it was recorded
    if any(_is_failure(end) for _, end in allocation.ends):
        return jobs.stop(job, StopCause.SEAT_ENDED, deadline)
    if any(snapshot.nodes[seat.node].node.draining for seat in allocation.seats):
        return jobs.preempt(job, StopCause.DRAIN, None, deadline)
    if allocation.id in moves:
        return jobs.preempt(job, StopCause.WINDOW, None, deadline)
    return []


def _is_failure(end: SeatEnd) -> bool:
    return end.outcome is not Outcome.EXITED or bool(end.exit_code)


def jitter(job: Job) -> int:
    """0 to 1000, the same for the same attempt wherever it is computed."""
    return zlib.crc32(f"{job.id}/{job.attempt}".encode()) % 1001
