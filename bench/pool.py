"""The simulator's engine over one pool: profile, order and backfill of the scheduling core."""

from __future__ import annotations

from collections.abc import Iterable

from bench.trace import TraceJob
from domain.scheduling.backfill import (
    Commitment,
    Decision,
    conservative,
    easy,
    reference,
    strict,
)
from domain.scheduling.order import ORDERS, Backlog, Claim, in_order
from domain.scheduling.profile import Amount, Profile

BACKFILLS = ("none", "reference", "easy", "conservative")


class PoolEngine:
    """Runs jobs in one pool of `capacity`; jobs that ask for more than that are refused.

    With `committed` the head stays the head until it starts, as in the reference mode.
    `bounded` bounds overtaking: who came first holds a start, and every claim is due by
    `Backlog`, measured in the last resource.
    """

    def __init__(
        self,
        capacity: Amount,
        order: str,
        backfill: str,
        *,
        depth: int = 1,
        committed: bool = False,
        bounded: bool = False,
    ) -> None:
        self.backlog = Backlog(capacity[-1]) if bounded else None
        self.capacity = capacity
        self.order = ORDERS[order]
        self.backfill = backfill
        self.depth = depth
        self.committed = committed
        self.waiting: dict[str, Claim] = {}
        self.jobs: dict[str, TraceJob] = {}
        self.running: dict[str, tuple[int, Claim]] = {}  # until when by its estimate
        self.held: dict[str, int] = {}
        self.commitment: Commitment | None = None

    def arrive(self, job: TraceJob) -> None:
        if any(want > have for want, have in zip(job.amount, self.capacity, strict=True)):
            raise SystemExit(f"job {job.name} asks for {job.amount} of {self.capacity}")
        due = self.backlog.due(job.submitted, job.size * job.estimate) if self.backlog else None
        claim = Claim(job.name, job.amount, job.estimate, job.submitted, job.size, due)
        self.jobs[job.name], self.waiting[job.name] = job, claim

    def finish(self, job: TraceJob, now: int) -> None:  # noqa: ARG002 - the port tells the time
        del self.running[job.name]

    def decide(self, now: int) -> Iterable[tuple[TraceJob, str]]:
        if not self.waiting:
            return []
        decision = self._decide(now, self._profile(now))
        self.held = dict(decision.holds)
        for claim in decision.starts:
            del self.waiting[claim.job]
            self.running[claim.job] = (now + claim.estimate, claim)
        return [(self.jobs.pop(claim.job), "start") for claim in decision.starts]

    def idle(self) -> None:
        """A pool knows of no nodes."""

    def _decide(self, now: int, profile: Profile) -> Decision:
        if self.committed:
            decision, self.commitment = reference(
                now,
                self.waiting.values(),
                profile,
                self.order,
                self.commitment,
                fill=self.backfill == "reference",
            )
            return decision
        guard = self.backlog is not None
        queue = in_order(self.waiting.values(), self.order, now, guard=guard)
        if self.backfill == "none":
            return strict(now, queue, profile)
        if self.backfill == "easy":
            return easy(now, queue, profile, self.depth)
        return conservative(now, queue, profile, self.held)

    def _profile(self, now: int) -> Profile:
        """What is free; who runs over its estimate is expected to end next."""
        profile = Profile(self.capacity, now)
        for until, claim in self.running.values():
            profile.withhold(now, max(until, now + 1), claim.amount)
        return profile
