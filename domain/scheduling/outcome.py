"""What a plan means for each queued job, in the order of the queue."""

from __future__ import annotations

from dataclasses import dataclass

from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.plan import plan
from domain.scheduling.rank import Ranks
from domain.scheduling.reason import WaitReason
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, NodeId, ProjectId


@dataclass(frozen=True)
class Outcome:
    """A queued job and what is decided about it: the nodes it gets, or why it waits.

    `asks` are the jobs of lower priority that are asked to make room for it.
    """

    place: int
    job: JobId
    name: str
    project: ProjectId
    priority: int
    queued_since: int
    nodes: tuple[NodeId, ...] = ()
    waits: WaitReason | None = None
    asks: tuple[JobId, ...] = ()


def outcomes(snapshot: Snapshot, now: int, bound: Bound = WHOLE) -> list[Outcome]:
    """What a cycle decides at `now` about every queued job; those it does not come to stay as told.

    In the order of the policy as the cycle begins; what it gives away may then change ranks. A job
    that is told nothing new waits for the reason it was last told.
    """
    made = plan(snapshot, now, bound)
    placed = {each.job: tuple(seat.node for seat in each.seats) for each in made.placements}
    waits = {each.job: each.reason for each in made.waits}
    asks: dict[JobId, list[JobId]] = {}
    for each in made.preemptions:
        asks.setdefault(each.preemptor, []).append(each.victim)
    ranks = Ranks(snapshot, now)
    lines = snapshot.lines.by_key.values()
    ranked = sorted(ranks.of(line, number) for line in lines for number in range(len(line)))
    queue = [snapshot.jobs[JobId(rank[-1])] for rank in ranked]
    return [
        Outcome(
            place,
            job.id,
            job.spec.name,
            job.spec.project,
            job.priority,
            job.queued_since,
            placed.get(job.id, ()),
            None if job.id in placed else waits.get(job.id, job.waiting),
            tuple(asks.get(job.id, ())),
        )
        for place, job in enumerate(queue, start=1)
    ]
