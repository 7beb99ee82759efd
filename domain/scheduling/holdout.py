"""Streams the scheduler cannot read: left out of every decision, or a reason to stand still.

What is held stays held: nothing is given away that an unread event may have given to another.
"""

from __future__ import annotations

from dataclasses import replace

from domain.event import StreamId
from domain.job.transitions import Phase
from domain.scheduling.snapshot import RECEIPTS, Snapshot
from domain.values.ids import AllocationId, JobId, NodeId

UNREAD = frozenset({"token", "checkpoint", "consumer"})
"""Streams no room is given away by: of checkpoints, only who is the cheaper victim."""


def hold_out(snapshot: Snapshot, stream: StreamId, version: int) -> bool:
    """Leave a stream out of every later decision; False where only standing still is safe.

    `version` is that of its event that cannot be read.
    1. what gives no room away is read past, receipts too: the next one follows this version;
    2. a job is neither placed, preempted nor concluded, and keeps what it holds;
    3. a node takes no new work, and what it holds stays held;
    4. an allocation that was read keeps its seats, and its job is left out;
    5. an allocation whose grant was not read holds nobody knows what, and policy and quotas bound
       every placement: False.
    """
    kind, _, name = stream.partition("/")
    if stream == RECEIPTS:
        snapshot.versions[stream] = version
        return True
    if kind in UNREAD:
        return True
    if kind == "job":
        _job(snapshot, JobId(name))
    elif kind == "node":
        _node(snapshot, NodeId(name))
    elif kind == "allocation" and AllocationId(name) in snapshot.allocations:
        _job(snapshot, snapshot.allocations[AllocationId(name)].job)
    else:
        return False
    snapshot.held_out.add(stream)
    return True


def _job(snapshot: Snapshot, job_id: JobId) -> None:
    snapshot.held_out.add(StreamId(f"job/{job_id}"))
    snapshot.lines.remove(job_id)
    snapshot.roster.note(job_id)
    job = snapshot.jobs.get(job_id)
    if job is not None:  # so it is neither asked to leave nor expected to
        spec = replace(job.spec, estimate_seconds=None, time_limit_seconds=None)
        snapshot.migrating.discard(job_id)
        snapshot.jobs[job_id] = replace(
            job, phase=Phase.SUSPENDED, preemptor=None, migration=None, spec=spec
        )
        snapshot.stand([job_id])  # so nobody stands in the queue for it


def _node(snapshot: Snapshot, node_id: NodeId) -> None:
    known = snapshot.nodes.get(node_id)
    if known is not None:
        known.node = replace(known.node, cordoned=True, draining=False)
        snapshot.rooms.note(node_id, itself=True)
