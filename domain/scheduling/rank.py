"""Ranks: which line of the queue is looked at first, by the policy's two orders."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.job.job import Job
from domain.policy.events import Cohort, Order
from domain.scheduling.bound import Cursor
from domain.scheduling.lines import Line, LineKey
from domain.scheduling.roster import Sort
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId
from domain.values.resources import NOTHING
from domain.values.time import HOUR, SECOND

Rank = tuple[tuple[int, ...], tuple[int, ...], int, str]
LOOK_AHEAD = HOUR
"""What is held now counts as if it had been held so much longer: one cycle gives to many."""
_MILLION = 1_000_000
_NEVER = 2**63


@dataclass
class _Share:
    """A level of fair share: usage of (gpu, cpu, memory) in amount times microseconds."""

    shares: int = 1
    used: list[int] = field(default_factory=lambda: [0, 0, 0])


class Ranks:
    """Ranks lines at one moment. The least is first; what is charged meanwhile counts."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._settings = snapshot.policy.scheduler
        self._now = now
        self.moves = Order.FAIR_SHARE in (
            self._settings.primary_policy,
            self._settings.secondary_policy,
        )
        """Whether a charge changes ranks."""
        if self.moves:
            self._capacity = _capacity(snapshot)
            self._parents = {cohort.name: cohort for cohort in snapshot.policy.cohorts}
            self._leaf = {c.project: c for c in snapshot.policy.cohorts if c.project is not None}
            self._levels: dict[str, _Share] = {}
            for (project, user), used in snapshot.usage.at(now).items():
                self._add(project, user, used)
            for (project, user), faded in snapshot.usage.by.items():
                self._ahead(project, user, faded.rate)

    def of(self, line: Line, number: int) -> Rank:
        """The rank of the line's job with this number, from 0."""
        return self._of(line.key, *line.places[number])

    def at(self, cursor: Cursor) -> Rank:
        """The rank of the cursor's job, whether it waits or not."""
        return self._of(cursor, cursor.since, cursor.job)

    def charge(self, job: Job, user: str, seats: int) -> None:
        """The user holds so many more seats of the job. Only where ranks move."""
        held = job.spec.resources * seats
        amounts = held.gpu_milli, held.cpu_milli, held.memory_bytes
        self._ahead(job.spec.project, user, amounts)

    def _ahead(self, project: str, user: str, held: tuple[int, int, int]) -> None:
        g, c, m = (amount * LOOK_AHEAD for amount in held)
        self._add(project, user, (g, c, m))

    def share_after(self, held: Sort, sign: int) -> int:
        """The dominant share of a project, per share of its own, with so much more held (or without
        it, sign -1), in cluster-microseconds."""
        project, *amounts = held
        name = self._path(project, "")[-2]
        level = self._levels.get(name, _Share())
        used = [u + sign * a * LOOK_AHEAD for u, a in zip(level.used, amounts, strict=True)]
        return self._dominant(used) // level.shares

    def _of(self, key: LineKey | Cursor, since: int, job: JobId) -> Rank:
        first, second = self._settings.primary_policy, self._settings.secondary_policy
        return self._part(first, key, since), self._part(second, key, since), since, job

    def _part(self, order: Order, key: LineKey | Cursor, since: int) -> tuple[int, ...]:
        match order:
            case Order.FIFO:
                return ()
            case Order.PRIORITY:
                return (-key.priority - self._age(since),)
            case Order.DEADLINE:
                if key.deadline is None:
                    return (_NEVER,)
                return (key.deadline - (key.expected_seconds or 0) * SECOND,)
            case Order.FAIR_SHARE:
                return tuple(self._ratio(level) for level in self._path(key.project, key.user))

    def _age(self, since: int) -> int:
        seconds = self._settings.aging_seconds
        return max(0, self._now - since) // (seconds * SECOND) if seconds else 0

    def _path(self, project: str, user: str) -> list[str]:
        """Keys of the levels from the root's child down to the user."""
        names = [f"project/{project}", f"user/{project}/{user}"]
        cohort: Cohort | None = self._leaf.get(project)  # type: ignore[call-overload]  # a ProjectId
        while cohort is not None:
            names.insert(0, f"cohort/{cohort.name}")
            cohort = self._parents.get(cohort.parent)
        return names

    def _add(self, project: str, user: str, used: tuple[int, int, int]) -> None:
        for name in self._path(project, user):
            level = self._levels.get(name)
            if level is None:
                cohort = self._parents.get(name.removeprefix("cohort/"))
                shares = cohort.shares if cohort and name.startswith("cohort/") else 1
                level = self._levels[name] = _Share(shares)
            for n in range(3):
                level.used[n] += used[n]

    def _ratio(self, name: str) -> int:
        level = self._levels.get(name)
        if level is None:
            return 0
        return self._dominant(level.used) // level.shares

    def _dominant(self, amounts: list[int]) -> int:
        return max(u * _MILLION // has for u, has in zip(amounts, self._capacity, strict=True))


def _capacity(snapshot: Snapshot) -> tuple[int, int, int]:
    total = NOTHING
    for state in snapshot.nodes.values():
        if state.node.alive:
            total = total + state.node.offer.capacity
    return max(1, total.gpu_milli), max(1, total.cpu_milli), max(1, total.memory_bytes)
