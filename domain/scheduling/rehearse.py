"""Rehearsals: the recorded submissions under another policy, quota or fleet, without a cell.

A discrete-event simulation on the scheduler's own snapshot and decisions. What it assumes:
1. a job that ended by itself runs as long as it did in the record, wherever it is placed;
2. a job whose end is not recorded runs to its time limit, else beyond the end;
3. a job that is asked to leave takes as long as such jobs did in the record, at most its grace,
   and begins its run anew afterwards;
4. people ask for the same at the same moments, nodes come and go as they did;
5. planning takes no time: every cycle decides for the whole queue.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from domain.allocation import allocation as allocations
from domain.allocation.allocation import SeatEnd
from domain.allocation.events import Granted
from domain.allocation.seat import Outcome
from domain.errors import Refusal
from domain.event import Change, Event, Meta, Recorded, StreamId, stream_of
from domain.job import events as e
from domain.job import job as jobs
from domain.job.job import Job
from domain.job.migrate import migrate, withdraw
from domain.job.transitions import PLACED, Phase
from domain.node.events import Lost, NodeEvent, Registered
from domain.policy.events import SchedulerSet, SchedulerSettings
from domain.project.events import Quota, QuotaSet
from domain.scheduling.budgets import next_turn
from domain.scheduling.decide import decide
from domain.scheduling.events import Step
from domain.scheduling.grace import grace_of
from domain.scheduling.ledger import Ledger, Report
from domain.scheduling.moving import next_moment
from domain.scheduling.plan import depends_on_time
from domain.scheduling.script import Run, Script
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.telling import MOST_WAITS
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.time import SECOND

Watch = Callable[[Snapshot, Recorded], None]
"""Hears each event of a rehearsal, once the snapshot has taken it in."""
FOR_EVER = 2**62
TURNS = 100_000
"""The scheduler has about so many turns in a rehearsal at the most: they are spaced to that end."""


@dataclass(frozen=True)
class Otherwise:
    """What is to be other than recorded: settings, quotas, nodes that join or are not there.

    Where settings or a project's quota are given, those of the record are not told.
    """

    settings: SchedulerSettings | None = None
    quotas: tuple[tuple[ProjectId, Quota], ...] = ()
    join: tuple[Registered, ...] = ()
    without: frozenset[NodeId] = frozenset()


@dataclass
class Rehearsed:
    """A rehearsal's report, its cycles, and requests that its state of things had no place for."""

    report: Report
    cycles: int
    refused: Counter[str]
    unknown: int
    """Runs whose length is not recorded and that no time limit ended."""


def rehearse(
    start: Snapshot,
    at: int,
    until: int,
    told: Script,
    other: Otherwise,
    watch: Watch = lambda _, __: None,
) -> Rehearsed:
    """Play the script from the state `start`, which held at `at`, to `until` (microseconds)."""
    return _Rehearsal(deepcopy(start), at, until, told, other, watch).run()


class _Rehearsal:
    """Events wait in a heap by time; after those of one moment the scheduler has its turn."""

    def __init__(
        self, start: Snapshot, at: int, until: int, told: Script, other: Otherwise, watch: Watch
    ) -> None:
        self.watch = watch
        self.snapshot, self.now, self.began, self.until = start, at, at, until
        self.told, self.other = told, other
        self.ledger = Ledger(start, at)
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.number = 0
        self.cycles = 0
        self.refused: Counter[str] = Counter()
        self.unknown: set[AllocationId] = set()
        self.runs: dict[JobId, int] = {}
        self.due = True
        self.turn = at
        """The scheduler's next turn is not before this."""
        self.woken = at
        """When it is next woken though nothing happened."""
        self.window = FOR_EVER
        """When it is next woken since a window begins or ends."""

    def run(self) -> Rehearsed:
        """Everything up to the end."""
        self._change()
        for found in sorted(self.snapshot.allocations):
            self._runs(found, under_way=True)
        for job in self.snapshot.jobs.values():
            if job.due_at is not None:
                self._at(job.due_at, lambda job=job.id: self._retry(job))  # type: ignore[misc]
        for recorded in self.told.events:
            self._at(recorded.recorded_at, lambda r=recorded: self._tell(r))  # type: ignore[misc]
        self._cycle()
        while self.heap and self.heap[0][0] <= self.until:
            self.now = self.heap[0][0]
            while self.heap and self.heap[0][0] == self.now:
                heapq.heappop(self.heap)[2]()
            self._cycle()
        return Rehearsed(
            self.ledger.close(self.until), self.cycles, self.refused, len(self.unknown)
        )

    def _at(self, when: int, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.heap, (max(when, self.now), self.number, what))

    # what is other than recorded

    def _change(self) -> None:
        if self.other.settings is not None:
            self._record(StreamId("policy/cell"), [SchedulerSet(self.other.settings)], None)
        for project, quota in self.other.quotas:
            self._record(stream_of("project", project), [QuotaSet(quota)], project)
        for offer in self.other.join:
            self._record(stream_of("node", offer.node), [offer], None)
        for name in sorted(self.other.without & self.snapshot.nodes.keys()):
            node = self.snapshot.nodes[name].node
            self._record(stream_of("node", name), [Lost(name, node.offer.boot)], None)

    def _is_replaced(self, recorded: Recorded) -> bool:
        event, name = recorded.event, recorded.stream.partition("/")[2]
        if isinstance(event, SchedulerSet):
            return self.other.settings is not None
        if isinstance(event, QuotaSet):
            return any(project == name for project, _ in self.other.quotas)
        return isinstance(event, NodeEvent) and name in self.other.without

    # what happens

    def _record(self, stream: StreamId, events: Sequence[Event], project: str | None) -> None:
        for event in events:
            version = self.snapshot.versions.get(stream, 0) + 1
            meta = Meta("rehearsal", "rehearsal", "rehearsal", project)
            position = self.snapshot.position + 1
            recorded = Recorded(position, stream, version, self.now, meta, None, event)
            self.due |= self.snapshot.apply(recorded)
            self.ledger.apply(recorded)
            self.watch(self.snapshot, recorded)

    def _tell(self, recorded: Recorded) -> None:
        event, name = recorded.event, recorded.stream.partition("/")[2]
        if self._is_replaced(recorded):
            return
        if isinstance(event, e.JobEvent) and not isinstance(event, e.Submitted):
            self._ask(JobId(name), event)
            return
        self._record(recorded.stream, [event], recorded.meta.project)

    def _ask(self, name: JobId, event: e.JobEvent) -> None:
        """A request of people about a job, as its state now allows."""
        job = self.snapshot.jobs.get(name)
        if job is None:
            self._reopen(name, event)
            return
        deadline = self.now + grace_of(job, self.snapshot) * SECOND
        try:
            found = _asked(job, event, self.now, deadline)
        except Refusal:
            self.refused[event.topic] += 1
            return
        self._record(stream_of("job", name), found, job.spec.project)
        if any(isinstance(each, e.StopRequested) for each in found):
            self._leaves(job)

    def _reopen(self, name: JobId, event: e.JobEvent) -> None:
        """A job that has ended is to run once more; nothing else can be asked about it."""
        if not isinstance(event, e.Reopened):
            self.refused[event.topic] += 1
            return
        spec, user = event.spec, event.submitted_by
        queued = e.Queued(e.QueuedCause.REQUEUED, self.now, event.priority, spec.name, user)
        self._record(stream_of("job", name), [event, queued], spec.project)

    def _cycle(self) -> None:
        """The scheduler's turn, as `processors/scheduler.py` takes it, or soon."""
        if not self.due:
            return
        if self.now < self.turn:
            self._at(self.turn, lambda: None)
            return
        self.due = False
        self.cycles += 1
        self.turn = self.now + (self.until - self.began) // TURNS
        while found := decide(Step.CONCLUDE, self.snapshot, self.now):
            self._carry_out(found)
        self.snapshot.touched.clear()
        decisions = decide(Step.PLAN, self.snapshot, self.now)
        self._carry_out(decisions)
        self.due = len(decisions) >= MOST_WAITS  # not all that wait were told
        if self.due:
            self._at(self.turn, lambda: None)
        self._look_again()

    def _look_again(self) -> None:
        """Where time alone may change what is decided, the next turn is an interval away, or comes
        with the next window of a budget."""
        settings = self.snapshot.policy.scheduler
        turns = [next_turn(self.snapshot.budgets, self.now)]
        if depends_on_time(settings):
            turns.append(self.now + settings.interval_seconds * SECOND)
        turn = min((at for at in turns if at is not None), default=None)
        waits = len(self.snapshot.lines) > 0 or self.snapshot.migrating
        if turn is not None and waits and not self.now < self.woken <= turn:
            self.woken = turn
            self._at(turn, self._wake)
        window = next_moment(self.snapshot, self.now)
        if window is not None and window < self.window:
            self.window = window
            self._at(window, self._begin_window)

    def _begin_window(self) -> None:
        self.window = FOR_EVER
        self.due = True

    def _wake(self) -> None:
        self.due = True

    def _carry_out(self, decisions: list[list[Change]]) -> None:
        for change in (change for decision in decisions for change in decision):
            self._record(change.stream, change.events, change.meta.project)
            job = JobId(change.stream.partition("/")[2])
            for event in change.events:
                if isinstance(event, Granted):
                    self._granted(event.allocation)
                elif isinstance(event, e.PreemptionRequested | e.StopRequested):
                    self._leaves(self.snapshot.jobs[job])
                elif isinstance(event, e.RetryScheduled):
                    self._at(event.due_at, lambda job=job: self._retry(job))  # type: ignore[misc]

    # how jobs run

    def _granted(self, name: AllocationId) -> None:
        self._at(self.now, lambda: self._runs(name, under_way=False))

    def _runs(self, name: AllocationId, *, under_way: bool) -> None:
        """The seats of an allocation start, and end when the record says."""
        found = self.snapshot.allocations.get(name)
        if found is None:
            return
        job = self.snapshot.jobs[found.job]
        run = self._run_of(job)
        if not found.all_started:
            self._at(self.now + run.started, lambda: self._start(name))
        limit = jobs.limit_at(job)
        if job.spec.time_limit_seconds is not None and not under_way:
            own = self.now + run.started + job.spec.time_limit_seconds * SECOND
            limit = own if limit is None else min(own, limit)
        ends = self.now + run.lasted
        if limit is not None and limit < ends:
            self._at(limit, lambda: self._limit(name))
        elif run.lasted < FOR_EVER:
            self._at(ends, lambda: self._end(name, SeatEnd(run.outcome, run.exit_code, "")))
        else:
            self.unknown.add(name)
        if job.stop_cause is not None:
            self._leaves(job)

    def _run_of(self, job: Job) -> Run:
        """The run that the record has for the job's turn; its last one for turns beyond."""
        known = self.told.runs.get(job.id, [])
        turn = self.runs.get(job.id, 0)
        if not known:
            return Run(FOR_EVER, self.told.starting_us, Outcome.EXITED, 0)
        return known[min(turn, len(known) - 1)]

    def _start(self, name: AllocationId) -> None:
        self._report(
            name, lambda a, rank, node, boot: allocations.seat_started(a, rank, node, boot, "same")
        )

    def _end(self, name: AllocationId, end: SeatEnd) -> None:
        found = self.snapshot.allocations.get(name)
        if found is None:
            return
        if end.outcome not in (Outcome.STOPPED, Outcome.LOST):
            self.runs[found.job] = self.runs.get(found.job, 0) + 1
        self.unknown.discard(name)
        self._report(
            name, lambda a, rank, node, boot: allocations.seat_ended(a, rank, node, boot, end)
        )

    def _limit(self, name: AllocationId) -> None:
        """The time limit of a run; it leaves as others do."""
        found = self.snapshot.allocations.get(name)
        job = None if found is None else self.snapshot.jobs[found.job]
        if job is None or job.phase not in PLACED or job.stop_cause is not None:
            return
        deadline = self.now + grace_of(job, self.snapshot) * SECOND
        spent = job.stop_at is not None and job.stop_at <= self.now
        cause = e.StopCause.BUDGET if spent else e.StopCause.TIME_LIMIT
        asked = jobs.stop(job, cause, deadline)
        self._record(stream_of("job", job.id), asked, job.spec.project)
        self._leaves(job)

    def _leaves(self, job: Job) -> None:
        """The seats of a job that was asked to end are gone after a while."""
        if job.allocation is None:
            return
        name, grace = job.allocation, grace_of(job, self.snapshot) * SECOND
        takes = grace if self.told.leaving_us is None else min(grace, self.told.leaving_us)
        self._at(self.now + takes, lambda: self._end(name, SeatEnd(Outcome.STOPPED, 143, "")))

    def _retry(self, name: JobId) -> None:
        job = self.snapshot.jobs.get(name)
        if job is not None and job.due_at is not None and job.due_at <= self.now:
            self._record(stream_of("job", name), jobs.retry_due(job, self.now), job.spec.project)

    def _report(self, name: AllocationId, fact: Callable[..., Sequence[Event]]) -> None:
        found = self.snapshot.allocations.get(name)
        if found is None:
            return
        project = self.snapshot.jobs[found.job].spec.project
        for seat in found.seats:
            now = self.snapshot.allocations[name]
            events = fact(now, seat.rank, seat.node, now.boots[seat.rank])
            self._record(stream_of("allocation", name), events, project)


def _asked(job: Job, event: e.JobEvent, now: int, deadline: int) -> Sequence[e.JobEvent]:
    match event:
        case e.Queued(cause=e.QueuedCause.SUBMITTED):
            return [replace(event, since=now)]
        case e.Blocked() if job.phase is not Phase.SUBMITTED:
            return jobs.resume(job, now)
        case e.Queued(cause=e.QueuedCause.REQUEUED):
            return []  # its job.reopened is what asks for it
        case e.Queued():
            return jobs.resume(job, now)
        case e.Cancelled() | e.StopRequested(cause=e.StopCause.CANCEL):
            return jobs.cancel(job, deadline)
        case e.Suspended() | e.StopRequested(cause=e.StopCause.SUSPEND):
            return jobs.suspend(job, deadline)
        case e.StopRequested(cause=e.StopCause.REQUEUE) | e.Reopened():
            return jobs.requeue(job, now, deadline)
        case e.PriorityChanged(priority=priority):
            return jobs.set_priority(job, priority)
        case e.MigrationRequested(to=to):
            return migrate(job, to)
        case e.MigrationWithdrawn():
            return withdraw(job)
    return [event]
