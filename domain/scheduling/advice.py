"""Advice: the smallest changes that would let a waiting job start now, each planned to be sure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from domain.job.job import Job
from domain.job.transitions import Phase
from domain.node.node import pool_of
from domain.policy.events import Cohort
from domain.project.events import Quota
from domain.scheduling import change as c
from domain.scheduling.change import Change, events_of, spec_with
from domain.scheduling.demand import demand_of
from domain.scheduling.filters import never_on
from domain.scheduling.limits import RESOURCES, Ledger
from domain.scheduling.place import place
from domain.scheduling.plan import plan
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.trial import fork, tell, told
from domain.values.ids import JobId
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import GIB

MOST_PLANS = 100
"""Plans made for one job at the most; what is left untried then is not told."""
ALIKE = 3
"""Changes told of a kind whose members are neither smaller nor larger: GPU types, pools."""
NODES = 16
"""Cordoned nodes tried, by name."""
STEPS = 1024
"""Units by which a quota is raised at the most."""
WEEK_SECONDS = 7 * 24 * 3600
_UNIT = {"gpu_milli": 1000, "cpu_milli": 1000, "memory_bytes": GIB}


def changes(
    snapshot: Snapshot, job: JobId, now: int, go_on: Callable[[], bool] = lambda: True
) -> list[Change]:
    """What would start the queued job in a cycle at `now`; the smallest of each kind.

    Nothing if it starts as it is. `go_on` is asked before each plan; once it says no, what was not
    tried is left out. The snapshot stays as it is.
    """
    known = snapshot.jobs.get(job)
    if known is None or known.phase is not Phase.QUEUED:
        return []
    trial = _Trial(fork(snapshot), known, now, go_on)
    if trial.starts(c.HigherPriority(known.priority)):
        return []
    kinds = (_fewer_gpus, _fewer_replicas, _less_cpu, _less_memory, _gpu_types, _pools)
    more = (_shorter, _higher, _quota, _cohort, _nodes)
    return [found for kind in (*kinds, *more) for found in kind(trial)]


def applied(snapshot: Snapshot, job: JobId, change: Change, now: int) -> Snapshot:
    """A copy of the cell in which the change of the queued job was made."""
    copy = fork(snapshot)
    forth, _ = events_of(change, copy, copy.jobs[job])
    tell(copy, forth, now)
    return copy


class _Trial:
    """The copy on which changes are tried and taken back."""

    def __init__(self, snapshot: Snapshot, job: Job, now: int, go_on: Callable[[], bool]) -> None:
        self.snapshot = snapshot
        self.job = job
        self.now = now
        self._go_on = go_on
        self._plans = 0
        self._free = snapshot.rooms.free(snapshot).fork()
        self._known: dict[Change, bool] = {}

    def starts(self, change: Change) -> bool:
        """Whether the job starts with it; no once there is no more time to try."""
        if change not in self._known:
            self._known[change] = self._may_fit(change) and self._planned(change)
        return self._known[change]

    def _may_fit(self, change: Change) -> bool:
        """Whether it could be placed if it alone waited: a plan gives no more than that."""
        if isinstance(change, c.UncordonedNode):
            return True
        return place(demand_of(spec_with(self.job.spec, change)), self._free) is not None

    def _planned(self, change: Change) -> bool:
        self._plans += 1
        if self._plans > MOST_PLANS or not self._go_on():
            return False
        forth, back = events_of(change, self.snapshot, self.job)
        with told(self.snapshot, forth, back, self.now):
            made = plan(self.snapshot, self.now)
        return any(each.job == self.job.id for each in made.placements)

    def least(self, count: int, make: Callable[[int], Change]) -> Iterator[Change]:
        """The first of `count` changes that grow, of which one that starts it; none if none does.

        That larger ones do too is taken for granted while searching, not for what is found.
        """
        if count <= 0 or not self.starts(make(count - 1)):
            return
        low, high = -1, count - 1
        while high - low > 1:
            middle = low + 1 if low < 0 else (low + high) // 2
            low, high = (low, middle) if self.starts(make(middle)) else (middle, high)
        yield make(high)


def _fewer_gpus(trial: _Trial) -> Iterator[Change]:
    milli = trial.job.spec.resources.gpu_milli
    step = 1000 if milli > 1000 else 50
    steps = (milli - 1) // step if milli else 0
    return trial.least(steps, lambda n: c.FewerGpus((steps - n) * step))


def _fewer_replicas(trial: _Trial) -> Iterator[Change]:
    seats = trial.job.spec.replicas
    return trial.least(seats - 1, lambda n: c.FewerReplicas(seats - 1 - n))


def _less_cpu(trial: _Trial) -> Iterator[Change]:
    milli = trial.job.spec.resources.cpu_milli
    step = 1000 if milli > 1000 else 100
    steps = (milli - 1) // step if milli else 0
    return trial.least(steps, lambda n: c.LessCpu((steps - n) * step))


def _less_memory(trial: _Trial) -> Iterator[Change]:
    size = trial.job.spec.resources.memory_bytes
    step = GIB if size > GIB else GIB // 16
    steps = (size - 1) // step if size else 0
    return trial.least(steps, lambda n: c.LessMemory((steps - n) * step))


def _gpu_types(trial: _Trial) -> Iterator[Change]:
    wanted = trial.job.spec.gpu_types
    if not wanted:
        return
    nodes = trial.snapshot.nodes.values()
    there = {d.model for s in nodes if s.takes_work for d in s.node.offer.devices}
    found = (c.OtherGpuType(model) for model in sorted(there - set(wanted)))
    yield from [each for each in found if trial.starts(each)][:ALIKE]


def _pools(trial: _Trial) -> Iterator[Change]:
    wanted = trial.job.spec.where.pools
    if not wanted:
        return
    nodes = trial.snapshot.nodes.values()
    there = {pool_of(state.node.offer) for state in nodes if state.takes_work}
    found = (c.OtherPool(pool) for pool in sorted(there - set(wanted)))
    yield from [each for each in found if trial.starts(each)][:ALIKE]


def _shorter(trial: _Trial) -> Iterator[Change]:
    """Minutes, as long as possible."""
    most = trial.job.spec.expected_seconds
    minutes = (WEEK_SECONDS if most is None else most - 1) // 60
    return trial.least(minutes, lambda n: c.ShorterLimit((minutes - n) * 60))


def _higher(trial: _Trial) -> Iterator[Change]:
    """Priorities that put it before some more of those that wait."""
    mine = trial.job.priority
    others = {key.priority for key in trial.snapshot.lines.by_key}
    steps = {p for other in others if other >= mine for p in (other, other + 1)} | {MAX_PRIORITY}
    able = sorted(p for p in steps if mine < p <= MAX_PRIORITY)
    return trial.least(len(able), lambda n: c.HigherPriority(able[n]))


def _quota(trial: _Trial) -> Iterator[Change]:
    snapshot, job = trial.snapshot, trial.job
    project, least = job.spec.project, job.spec.min_replicas or job.spec.replicas
    quota, want = snapshot.quotas.get(project, Quota()), job.spec.resources * least
    short = {}
    for name in RESOURCES:
        limit = getattr(quota, name)
        used = sum(getattr(u, name) for (p, _), u in snapshot.used.items() if p == project)
        if limit is not None and used + getattr(want, name) > limit:
            short[name] = used + getattr(want, name)
    if not short:
        return iter(())

    def raised(n: int) -> Change:
        limits = {name: amount + n * _UNIT[name] for name, amount in short.items()}
        return c.MoreQuota(project, replace(quota, **limits))

    return trial.least(STEPS, raised)


def _cohort(trial: _Trial) -> Iterator[Change]:
    """The nominal quota of the project's leaf, of what the tree refuses."""
    snapshot, job = trial.snapshot, trial.job
    leaf = next((x for x in snapshot.policy.cohorts if x.project == job.spec.project), None)
    if leaf is None or Ledger(snapshot, trial.now).affordable(job):
        return iter(())
    names = _refused(trial, leaf)

    def raised(n: int) -> Change:
        limits = {x: getattr(leaf.nominal, x) + (n + 1) * _UNIT[x] for x in names}
        return c.LargerCohort(leaf.name, replace(leaf.nominal, **limits))

    return trial.least(STEPS if names else 0, raised)


def _refused(trial: _Trial, leaf: Cohort) -> list[str]:
    """The resources of which the leaf has too little for the job."""
    want = trial.job.spec.resources
    names = [
        name
        for name in RESOURCES
        if getattr(want, name) and getattr(leaf.nominal, name) is not None
    ]
    for name in list(names):
        others = {x: getattr(leaf.nominal, x) + STEPS * _UNIT[x] for x in names if x != name}
        larger = c.LargerCohort(leaf.name, replace(leaf.nominal, **others))
        forth, back = events_of(larger, trial.snapshot, trial.job)
        with told(trial.snapshot, forth, back, trial.now):
            if Ledger(trial.snapshot, trial.now).affordable(trial.job):
                names.remove(name)
    return names


def _nodes(trial: _Trial) -> Iterator[Change]:
    demand = demand_of(trial.job.spec)
    able = sorted(
        name
        for name, state in trial.snapshot.nodes.items()
        if state.node.alive and state.node.cordoned and never_on(demand, state.node.offer) is None
    )
    for name in able[:NODES]:
        if trial.starts(c.UncordonedNode(name)):
            yield c.UncordonedNode(name)
            return
