"""Limits: what projects, users and cohorts may still take, checked and charged as decided.

A project has its own limit, and may be a leaf of the sharing tree. Of each resource a cohort has a
quota of its own and that of the cohorts below it, as far as they lend it. What it does not lend is
its guarantee; usage beyond the guarantee counts at the parent. It may take its guarantee, and from
what the parent has left at most what it put there and may borrow. Budgets limit what is used over
time (`budgets`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.allocation.allocation import Allocation
from domain.allocation.events import Terms
from domain.job.job import Job
from domain.policy.events import Cohort, Limits
from domain.project.events import Quota
from domain.scheduling.budgets import UNBOUNDED, Budgets
from domain.scheduling.reason import WaitCode, WaitReason
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.spending import User
from domain.values.ids import ProjectId
from domain.values.resources import NOTHING, Resources

RESOURCES = ("gpu_milli", "cpu_milli", "memory_bytes")
_FREE = 2**80
"""More than anything: where there is no limit."""


@dataclass
class _Branch:
    """A cohort in the tree, with what it has and uses of one resource."""

    cohort: Cohort
    parent: _Branch | None
    quota: list[int] = field(default_factory=lambda: [0, 0, 0])
    limited: list[bool] = field(default_factory=lambda: [False, False, False])
    used: list[int] = field(default_factory=lambda: [0, 0, 0])

    def guaranteed(self, n: int) -> int:
        """What of its quota nobody else may take."""
        lend: int | None = getattr(self.cohort.lend, RESOURCES[n])
        return 0 if lend is None else max(0, self.quota[n] - lend)

    def available(self, n: int) -> int:
        """How much more it may take."""
        if self.parent is None:
            return self.quota[n] - self.used[n] if self.limited[n] else _FREE
        kept = self.guaranteed(n)
        local = max(0, kept - self.used[n])
        above = self.parent.available(n)
        borrow: int | None = getattr(self.cohort.borrow, RESOURCES[n])
        if borrow is not None:
            beyond = max(0, self.used[n] - kept)
            above = min(above, self.quota[n] - kept - beyond + borrow)
        return local + above

    def charge(self, n: int, amount: int) -> None:
        """Count usage here, and above what of it goes beyond the guarantee."""
        kept = self.guaranteed(n)
        before = max(0, self.used[n] - kept)
        self.used[n] += amount
        beyond = max(0, self.used[n] - kept) - before
        if self.parent is not None and beyond:
            self.parent.charge(n, beyond)


class Ledger:
    """What is held of every limit in a cycle."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._budgets = Budgets(snapshot, now)
        self._quotas = snapshot.quotas
        self._users: dict[User, Resources] = dict(snapshot.used)
        self._projects: dict[str, Resources] = {}
        self._leaves = _tree(snapshot.policy.cohorts)
        for (project, _), held in snapshot.used.items():
            self._projects[project] = self._projects.get(project, NOTHING) + held
        for project, held in self._projects.items():
            self._charge_tree(ProjectId(project), held)

    def blocker(self, job: Job, seats: int) -> str:
        """The limit that so many seats of the job would pass, or nothing."""
        more = job.spec.resources * seats
        project = job.spec.project
        after = self._projects.get(project, NOTHING) + more
        name = _passed(self._quotas.get(project, Quota()), after)
        if name:
            return name
        leaf = self._leaves.get(project)
        if leaf is None:
            return ""
        mine = self._users.get((project, job.submitted_by), NOTHING) + more
        name = _passed(leaf.cohort.user_limit, mine)
        if name:
            return f"{name} of user {job.submitted_by}"
        for n, resource in enumerate(RESOURCES):
            wanted = getattr(more, resource)
            if wanted and wanted > leaf.available(n):
                return f"{_word(resource)} of cohort {leaf.cohort.name}"
        return ""

    def affordable(self, job: Job) -> int:
        """The most seats its limits and budgets allow, 0 if fewer than it needs."""
        most, least = job.spec.replicas, _least(job)
        if self._is_free(job.spec.project) or self._allows(job, most):
            return most
        if least == most or not self._allows(job, least):
            return 0
        low, high = least, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._allows(job, middle) else (low, middle)
        return low

    def _is_free(self, project: ProjectId) -> bool:
        """Whether nothing limits the project, so that nothing need be counted for it."""
        limited = project in self._quotas or project in self._leaves
        return not (limited or self._budgets.limits(project))

    def _allows(self, job: Job, seats: int) -> bool:
        return not self.blocker(job, seats) and self._budgets.short(job, seats) is None

    def reason(self, job: Job) -> WaitReason:
        """Why the job has to wait for which no seats are affordable."""
        seats, blocker = job.spec.replicas, self.blocker(job, _least(job))
        short = None if blocker else self._budgets.short(job, _least(job))
        if short is UNBOUNDED:
            return WaitReason(WaitCode.NO_TIME_LIMIT, seats=seats)
        if short is not None:
            code, blocker, frees_at = WaitCode.OVER_QUOTA, short.blocker, short.frees_at
            return WaitReason(code, seats=seats, blocker=blocker, frees_at=frees_at)
        return WaitReason(WaitCode.OVER_QUOTA, seats=seats, blocker=blocker)

    def charge(self, job: Job, seats: int, gpu_model: str) -> Terms | None:
        """The job holds so many seats more; on which terms, where a budget is charged."""
        project, held = job.spec.project, job.spec.resources * seats
        if self._is_free(project):
            return None
        self._hold(job, held, 1)
        return self._budgets.charge(job, seats, gpu_model)

    @contextmanager
    def without(self, job: Job, held: Allocation, until: int) -> Iterator[None]:
        """As if the job held nothing; its budgets are charged as if it did `until` then."""
        if self._is_free(job.spec.project):
            yield
            return
        total = held.per_seat * len(held.seats)
        self._hold(job, total, -1)
        with self._budgets.without(held.id, until):
            yield
        self._hold(job, total, 1)

    def borrows(self, project: ProjectId) -> bool:
        """Whether the project holds more than its cohort has of its own."""
        leaf = self._leaves.get(project)
        return leaf is not None and any(
            leaf.limited[n] and leaf.used[n] > leaf.quota[n] for n in range(3)
        )

    def _hold(self, job: Job, held: Resources, sign: int) -> None:
        """The job holds so much more, or less (sign -1)."""
        project, user = job.spec.project, (job.spec.project, job.submitted_by)
        mine, all_of_it = self._users.get(user, NOTHING), self._projects.get(project, NOTHING)
        self._users[user] = mine + held if sign > 0 else mine - held
        self._projects[project] = all_of_it + held if sign > 0 else all_of_it - held
        self._charge_tree(project, held, sign)

    def _charge_tree(self, project: ProjectId, held: Resources, sign: int = 1) -> None:
        leaf = self._leaves.get(project)
        if leaf is not None:
            for n, resource in enumerate(RESOURCES):
                leaf.charge(n, sign * getattr(held, resource))


def _least(job: Job) -> int:
    return job.spec.replicas if job.spec.min_replicas is None else job.spec.min_replicas


def _tree(cohorts: tuple[Cohort, ...]) -> dict[ProjectId, _Branch]:
    branches: dict[str, _Branch] = {}
    for cohort in cohorts:
        branches[cohort.name] = _Branch(cohort, branches.get(cohort.parent))
    for branch in reversed(branches.values()):  # children before their parents
        for n, resource in enumerate(RESOURCES):
            own: int | None = getattr(branch.cohort.nominal, resource)
            branch.quota[n] += own or 0
            branch.limited[n] |= own is not None
            if branch.parent is not None:
                branch.parent.quota[n] += branch.quota[n] - branch.guaranteed(n)
                branch.parent.limited[n] |= branch.limited[n]
    return {b.cohort.project: b for b in branches.values() if b.cohort.project is not None}


def _passed(limits: Quota | Limits, after: Resources) -> str:
    for resource in RESOURCES:
        limit = getattr(limits, resource)
        if limit is not None and getattr(after, resource) > limit:
            return _word(resource)
    return ""


def _word(resource: str) -> str:
    return resource.partition("_")[0]
