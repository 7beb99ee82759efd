"""Preemption: the fewest, cheapest victims that make room for a job that may ask for it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

from domain.allocation.allocation import Allocation
from domain.job.job import Job
from domain.scheduling.demand import Demand
from domain.scheduling.place import place
from domain.scheduling.rank import Ranks
from domain.scheduling.room import Room, eligible, models_for
from domain.scheduling.roster import MAY_BE_ASKED, Sort, sort_of
from domain.scheduling.snapshot import Asked, Snapshot
from domain.scheduling.space import Space
from domain.values.ids import JobId, NodeId
from domain.values.time import HOUR, SECOND

_NEVER = Asked()


class Candidates:
    """Who may be asked to leave in a cycle: lowest priority first, then least work lost."""

    def __init__(self, snapshot: Snapshot, now: int, ranks: Ranks) -> None:
        self._snapshot, self._now, self._ranks = snapshot, now, ranks
        self._rules = snapshot.policy.scheduler.preemption
        self.differ = self._rules.over_share
        """Whether they are others for each job; else each may ask the first so many."""

    def of(self, job: Job, spared: set[JobId]) -> list[Job]:
        """Those that may make room for `job`, without those that are spared."""
        if not self.may_ask(job):
            return []
        if self.differ:
            found = self._in_order(each for each in self._able if self._gives_way(each, job))
        else:
            many = self.many(job)
            found = self.everyone[:many] if many else []
        return [victim for victim in found if victim.id not in spared]

    def may_ask(self, job: Job) -> bool:
        """Whether the job may ask anybody."""
        least = self._rules.priority_threshold
        return job.priority >= (least if self.differ else max(1, least))

    def many(self, job: Job) -> int:
        """How many of everyone, from the first, may make room for the job where none differ."""
        if not self.may_ask(job):
            return 0
        return bisect_left(self.everyone, job.priority, key=lambda victim: victim.priority)

    @cached_property
    def everyone(self) -> list[Job]:
        """All that may be asked by some job of higher priority, in the order to ask them."""
        return self._in_order(self._able)

    @cached_property
    def _able(self) -> list[Job]:
        snapshot, jobs, asked = self._snapshot, self._snapshot.jobs, self._snapshot.asked
        rules, now = self._rules, self._now
        by_job = rules.max_preemptions == 0 or rules.max_per_hour == 0 or rules.min_runtime_seconds
        return [
            victim
            for allocation in snapshot.allocations.values()
            if (victim := jobs[allocation.job]).phase in MAY_BE_ASKED
            and victim.allocation == allocation.id
            and victim.spec.preemptible
            and (not (by_job or victim.id in asked) or may_be_asked(snapshot, victim, now))
        ]

    def _in_order(self, found: Iterable[Job]) -> list[Job]:
        snapshot, now = self._snapshot, self._now
        ranked = [(v.priority, work_lost(snapshot, v, now), v.id, v) for v in found]
        return [victim for *_, victim in sorted(ranked, key=_rank)]

    def _gives_way(self, victim: Job, job: Job) -> bool:
        return victim.priority < job.priority or (
            self.differ
            and victim.priority == job.priority
            and self.over_share(job)(sort_of(victim))
        )

    def over_share(self, job: Job) -> Callable[[Sort], bool]:
        """Which jobs give way to this one at an equal priority: their project has more than its
        share without them, compared with this one's with it."""
        ranks, mine = self._ranks, sort_of(job)
        if not ranks.moves:
            return lambda _: False
        share = ranks.share_after(mine, 1)
        return lambda other: other[0] != mine[0] and share < ranks.share_after(other, -1)


_rank = itemgetter(0, 1, 2)


def may_preempt(snapshot: Snapshot, job: Job, victims: int, now: int) -> bool:
    """Whether the project's jobs may make so many more others leave within this hour."""
    limit = snapshot.policy.scheduler.preemption.project_per_hour
    if limit is None:
        return True
    made = sum(at > now - HOUR for at in snapshot.made.get(job.spec.project, ()))
    return made + victims <= limit


def work_lost(snapshot: Snapshot, victim: Job, now: int) -> int:
    """Seat-microseconds since its last checkpoint, times the GPUs of a seat (at least one)."""
    since = victim.started_at or now
    saved = snapshot.saved.get(victim.id)
    if saved is not None and saved > since:
        since = saved
    weight = victim.spec.resources.gpu_milli
    seats = len(victim.seats)
    weight = (weight if weight > 1000 else 1000) * (seats if seats > 1 else 1)
    return (now - since) * weight // 1000 if now > since else 0


def may_be_asked(snapshot: Snapshot, victim: Job, now: int) -> bool:
    """Whether the rules on preemption let anybody ask a running job to leave."""
    rules = snapshot.policy.scheduler.preemption
    asked = snapshot.asked.get(victim.id, _NEVER)
    lately = sum(at > now - HOUR for at in asked.lately)
    ran = 0 if victim.started_at is None else now - victim.started_at
    return (
        (rules.max_preemptions is None or asked.times < rules.max_preemptions)
        and (rules.max_per_hour is None or lately < rules.max_per_hour)
        and (not rules.min_runtime_seconds or ran >= rules.min_runtime_seconds * SECOND)
        and not any(at > now - rules.cooldown_seconds * SECOND for at in asked.lately)
    )


def find_victims(
    snapshot: Snapshot, demand: Demand, room: Room, found: list[Job]
) -> list[Job] | None:
    """Of the jobs found, in their order, those to preempt so that the demand fits into `room`.

    None if even all do not help. Minimal: put any one of them back and it no longer fits.
    """
    trial = _Trial(snapshot, demand, room)
    victims: list[Job] = []
    for victim in found if demand.simple else found[: _shortest(snapshot, demand, room, found)]:
        trial.without(victim)
        victims.append(victim)
        if demand.simple and trial.fits():
            break
    if not trial.fits():
        return None
    spared = {v.id for v in sorted(victims, key=lambda v: -v.priority) if trial.spares(v)}
    return [victim for victim in victims if victim.id not in spared]


def _shortest(snapshot: Snapshot, demand: Demand, room: Room, found: list[Job]) -> int:
    """The least number of victims, from the first, that is enough."""
    low, high = 0, len(found)
    while high - low > 1:
        middle = (low + high) // 2
        fits = place(demand, room_without(snapshot, room, found[:middle])) is not None
        low, high = (low, middle) if fits else (middle, high)
    return high


def room_without(snapshot: Snapshot, room: Room, victims: Iterable[Job]) -> Room:
    """The room once the victims have left."""
    after = room.fork()
    for victim in victims:
        after.give_back(snapshot.held_by(victim))
    return after


@dataclass
class _Trial:
    """Whether a demand fits into a room without some victims; counts only nodes that changed.

    Seats of a simple demand can be counted node by node; any other is placed each time.
    """

    snapshot: Snapshot
    demand: Demand
    room: Room
    gone: dict[NodeId, dict[JobId, Allocation]] = field(default_factory=lambda: defaultdict(dict))
    spaces: dict[NodeId, Space] = field(default_factory=dict)
    """What nodes have left without those that are gone."""

    def __post_init__(self) -> None:
        self.models = models_for(self.demand, self.room)
        self.board = self.room.board(self.demand)
        if self.board is not None:
            self.counts = {model: self.board.usable(self.demand, model) for model in self.models}
        else:
            self.able = {space.node.id for space in eligible(self.demand, self.room)}
            self.counts = {
                model: {
                    node: self.room.spaces[node].count(self.demand, model)
                    for node in sorted(self.able)
                }
                for model in self.models
            }
        self.totals = {model: sum(self.counts[model].values()) for model in self.models}

    def _may_use(self, node: NodeId) -> bool:
        if self.board is None:
            return node in self.able
        return node in self.room.spaces and self.board.ground.may_use(self.demand, node)

    def without(self, victim: Job) -> None:
        """The victim has left."""
        allocation = self.snapshot.held_by(victim)
        for node in {seat.node for seat in allocation.seats}:
            self.gone[node][victim.id] = allocation
            if self.demand.simple and self._may_use(node):
                space = self.spaces.get(node) or self.room.spaces[node].copy()
                space.leave([allocation])
                self._count(node, space)

    def spares(self, victim: Job) -> bool:
        """Whether the demand fits if the victim has not left; then it has not."""
        allocation = self.snapshot.held_by(victim)
        before = {node: self.spaces.get(node) for node in {s.node for s in allocation.seats}}
        for node in before:
            del self.gone[node][victim.id]
            self._recount(node)
        if self.fits():
            return True
        for node, space in before.items():
            self.gone[node][victim.id] = allocation
            if space is not None:
                self._count(node, space)
        return False

    def fits(self) -> bool:
        """Whether the demand fits now."""
        if self.demand.simple:
            return any(total >= self.demand.least for total in self.totals.values())
        return place(self.demand, self._room()) is not None

    def _room(self) -> Room:
        after = self.room.fork()
        everyone = {job: a for jobs in self.gone.values() for job, a in jobs.items()}
        for job in sorted(everyone):
            after.give_back(everyone[job])
        return after

    def _recount(self, node: NodeId) -> None:
        if node in self.spaces:
            space = self.room.spaces[node].copy()
            for allocation in self.gone[node].values():
                space.leave([allocation])
            self._count(node, space)

    def _count(self, node: NodeId, space: Space) -> None:
        self.spaces[node] = space
        for model in self.models:
            count = space.count(self.demand, model)
            self.totals[model] += count - self.counts[model].get(node, 0)
            self.counts[model][node] = count
