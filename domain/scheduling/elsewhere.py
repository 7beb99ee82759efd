"""Elsewhere: what of a room is open to a job that moves away from its nodes."""

from __future__ import annotations

from collections import Counter

from domain.job.job import Job
from domain.scheduling.demand import Demand
from domain.scheduling.room import Room
from domain.scheduling.snapshot import Label, Snapshot
from domain.values.copies import replace
from domain.values.ids import NodeId


def elsewhere(room: Room, demand: Demand, job: Job, snapshot: Snapshot) -> Room:
    """The room but for the nodes the job leaves, or only the one it is to move to."""
    move = job.migration
    assert move is not None, "it is to move"
    if demand.where.affinity:  # who runs on the other nodes counts all the same: they are shut
        found = room.fork()
        found.near = _near_others(snapshot, job)
        shut = move.leaves if move.to is None else [n for n in found.spaces if n != move.to]
        for node in shut:
            if node in found.spaces:
                full = found.spaces[node].copy()
                full.owned += 1
                found.put(node, full)
        return found
    if move.to is None:
        return room.without(frozenset(move.leaves))
    space = room.spaces.get(move.to)
    return Room({} if space is None else {move.to: space}, room.near, room.scoring)


def _near_others(snapshot: Snapshot, job: Job) -> dict[Label, Counter[NodeId]]:
    """Where jobs with a label run, without the seats that this one leaves."""
    grant, near = snapshot.granted[snapshot.held_by(job).id], dict(snapshot.near)
    for pair in grant.labels:
        key = (job.spec.project, pair)
        near[key] = near[key] - Counter(seat.node for seat in grant.seats)
    return near


def as_it_stands(job: Job) -> Job:
    """The job as it asks for just the seats it has: an elastic gang moves whole."""
    spec = job.spec
    if len(job.seats) == spec.replicas and spec.min_replicas is None:
        return job
    return replace(job, spec=replace(spec, replicas=len(job.seats), min_replicas=None))
