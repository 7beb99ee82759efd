"""Preemption: the fewest, cheapest victims that make room for a job of higher priority."""

from __future__ import annotations

from domain.allocation.allocation import Allocation
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.scheduling.room import Room, place
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId

_MAY_BE_ASKED = (Phase.STARTING, Phase.RUNNING)


def candidates(snapshot: Snapshot, job: Job, spared: set[JobId]) -> list[Job]:
    """Jobs that may make room for `job`: lowest priority first, then the latest started.

    Of equals the one that ran the shortest time loses the least.
    """
    found = [
        victim
        for allocation in snapshot.allocations.values()
        if (victim := snapshot.jobs[allocation.job]).priority < job.priority
        and victim.phase in _MAY_BE_ASKED
        and victim.allocation == allocation.id
        and victim.id not in spared
    ]
    return sorted(found, key=lambda v: (v.priority, -(v.started_at or 2**63), v.id))


def find_victims(snapshot: Snapshot, job: Job, room: Room, spared: set[JobId]) -> list[Job] | None:
    """The jobs to preempt so that `job` fits into `room`, or None if even all do not help.

    Minimal: put any one of them back and the job no longer fits.
    """
    victims: list[Job] = []
    for victim in candidates(snapshot, job, spared):
        victims.append(victim)
        if _fits_without(snapshot, job, room, victims):
            break
    else:
        return None
    for victim in sorted(victims, key=lambda v: -v.priority):
        fewer = [other for other in victims if other is not victim]
        if fewer and _fits_without(snapshot, job, room, fewer):
            victims = fewer
    return victims


def room_without(snapshot: Snapshot, room: Room, victims: list[Job]) -> Room:
    """The room once the victims have left."""
    after = room.fork()
    for victim in victims:
        after.give_back(_allocation(snapshot, victim))
    return after


def _fits_without(snapshot: Snapshot, job: Job, room: Room, victims: list[Job]) -> bool:
    return place(job.spec, room_without(snapshot, room, victims)) is not None


def _allocation(snapshot: Snapshot, job: Job) -> Allocation:
    assert job.allocation is not None, "a placed job has an allocation"
    return snapshot.allocations[job.allocation]
