"""Migrations in a cycle: where jobs that are to run elsewhere may go, and why they cannot yet.

A job that is to move runs on until seats for its whole gang are free elsewhere that nobody else has
a claim to. Then it is asked to save and leave, and those seats are kept for it, by id, until it is
placed there. It looks for room in its turn: where it would stand in the queue if it waited.
"""

from __future__ import annotations

from collections.abc import Iterator

from domain.errors import Invalid
from domain.job.job import Job
from domain.job.migrate import explain_migration, pending
from domain.scheduling.admission import Fleet
from domain.scheduling.budgets import END_SECONDS
from domain.scheduling.demand import Demand, demand_of
from domain.scheduling.elsewhere import as_it_stands, elsewhere
from domain.scheduling.explain import explain
from domain.scheduling.grace import grace_of
from domain.scheduling.limits import Ledger
from domain.scheduling.lines import Line, key_of
from domain.scheduling.place import place
from domain.scheduling.reason import WaitCode, WaitReason
from domain.scheduling.room import Found, Room
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.telling import Kept, Wait
from domain.values.time import SECOND

MOST_TOLD = 64
"""Movers whose reason to wait is looked at in a cycle; those that were told none come first."""


def lines_of_movers(snapshot: Snapshot) -> Iterator[Line]:
    """Running jobs that wait for room elsewhere, each in a line of its own."""
    for name in sorted(snapshot.migrating):
        job = snapshot.jobs[name]
        if pending(job) is not None:
            key = key_of(as_it_stands(job).spec, snapshot.inheritance.of(job))
            yield Line(key, [(job.queued_since, name)])


class Movers:
    """Those that found no room so far in a cycle, and why."""

    def __init__(self, snapshot: Snapshot, now: int, ledger: Ledger) -> None:
        self._snapshot, self._now, self._ledger = snapshot, now, ledger
        self._stuck: list[Job] = []

    def leaves_by(self, job: Job) -> int:
        """When it will have left at the latest if it is asked now (microseconds)."""
        return self._now + grace_of(job, self._snapshot) * SECOND

    def find(self, job: Job, demand: Demand, room: Room | None) -> Found | None:
        """Seats for it in the room, if its project may hold those in place of what it has.

        Without a room it is known that there are none.
        """
        found = None
        if (
            room is not None
            and self._refused(job) is None
            and (demand.where.affinity or place(demand, room))  # else soon found out, as a rule
        ):
            found = place(demand, elsewhere(room, demand, job, self._snapshot))
        if found is None:
            self._stuck.append(job)
        return found

    def waits(self, free: Room, room: Room, kept: Kept) -> Iterator[Wait]:
        """Why they found none, now that everybody is decided, where they were told another reason.

        `kept` are the nodes that windows keep from a job.
        """
        first = sorted(self._stuck, key=_told)
        for job in first[:MOST_TOLD]:
            reason = self._refused(job)
            if reason is None:
                demand = demand_of(as_it_stands(job).spec)
                reason = explain(demand, self._snapshot, free, room, kept(job), job)
            if explain_migration(job, reason):
                yield Wait(job.id, reason)

    def _refused(self, job: Job) -> WaitReason | None:
        """Why it could not be placed wherever there is room."""
        whole = as_it_stands(job)
        seats = whole.spec.replicas
        if seats > 1 and not self._snapshot.policy.scheduler.enable_gang_scheduling:
            return WaitReason(WaitCode.GANGS_OFF, seats=seats)
        gone = self.leaves_by(job) + END_SECONDS * SECOND
        with self._ledger.without(job, self._snapshot.held_by(job), gone):
            return None if self._ledger.affordable(whole) else self._ledger.reason(whole)


def check_node(job: Job, node: Fleet) -> None:
    """Invalid if the one node of this fleet could not hold the job as it runs even when empty."""
    whole = as_it_stands(job)
    verdict = node.judge(whole.spec)
    if verdict is not None:
        seats, name = whole.spec.replicas, node.offers[0].node
        what = "the job" if seats == 1 else f"all {seats} seats of the gang"
        counts = [f"excluded by {each.constraint}" for each in verdict.reason.excluded]
        because = ", ".join(counts) or f"{verdict.reason.seats_fitting} of them fit"
        detail = f"to: {name} could not hold {what} even if nothing else ran ({because})"
        fix = "name another node, or none for any other"
        raise Invalid("cannot_hold", f"{detail}; {fix}", field="to", fix=fix)


def _told(job: Job) -> bool:
    return job.migration is not None and job.migration.waiting is not None
