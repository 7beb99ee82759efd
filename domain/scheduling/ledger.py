"""A ledger of a stretch of history: per project its waits, cost, preemptions; use of the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.allocation.events import Granted, Released, Terms
from domain.event import Recorded
from domain.job import events as e
from domain.node.events import NodeEvent
from domain.node.node import Node
from domain.node.node import evolve as evolve_node
from domain.policy.events import PricesSet
from domain.policy.prices import rates_of
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId, ProjectId
from domain.values.mig import slot_of
from domain.values.resources import NOTHING, Resources


@dataclass
class Account:
    """One project. Times are microseconds, money millionths of the currency unit.

    `wait_us` is time in the queue, all turns of all jobs together; `waited` how many jobs had any,
    and `longest_us` the most that one had. `unplaced` jobs still stood in the queue at the end,
    and their wait counts until then.
    """

    submitted: int = 0
    placed: int = 0
    ended: int = 0
    preempted: int = 0
    unplaced: int = 0
    waited: int = 0
    wait_us: int = 0
    longest_us: int = 0
    cost_micro: int = 0
    cpu_milli_us: int = 0
    gpu_milli_us: int = 0


@dataclass
class Report:
    """What a stretch of history comes to; use against capacity, each amount times time."""

    accounts: dict[ProjectId, Account] = field(default_factory=dict)
    cpu_used: int = 0
    cpu_there: int = 0
    gpu_used: int = 0
    gpu_there: int = 0


@dataclass
class _Hold:
    project: ProjectId
    amount: Resources
    model: str
    since: int
    terms: Terms | None = None


class Ledger:
    """Takes the events of a stretch in order, from the state at its beginning."""

    def __init__(self, start: Snapshot, at: int) -> None:
        self.report = Report()
        self._at = at
        self._prices = start.policy.prices
        self._nodes: dict[NodeId, Node] = {name: s.node for name, s in start.nodes.items()}
        self._holds: dict[AllocationId, _Hold] = {}
        self._projects = {job.id: job.spec.project for job in start.jobs.values()}
        self._waiting = dict.fromkeys(start.lines.of_job, at)
        self._waits = dict.fromkeys(start.lines.of_job, 0)
        for found in start.allocations.values():
            project = self._projects[found.job]
            amount = found.per_seat * len(found.seats)
            model = _model(start, found.seats[0].node, found.seats[0].devices)
            self._holds[found.id] = _Hold(project, amount, model, at, start.granted[found.id].terms)
        for project in self._projects.values():
            self._of(project)

    def apply(self, recorded: Recorded) -> None:
        """Take in the next event."""
        event, at = recorded.event, recorded.recorded_at
        name = recorded.stream.partition("/")[2]
        if isinstance(event, e.JobEvent):
            self._job(JobId(name), event, at)
        elif isinstance(event, Granted):
            project = ProjectId(recorded.meta.project or "")
            amount = event.per_seat * len(event.seats)
            self._holds[event.allocation] = _Hold(project, amount, event.gpu_model, at, event.terms)
        elif isinstance(event, Released):
            self._settle(self._holds.pop(event.allocation), at)
        elif isinstance(event, NodeEvent):
            self._measure(at)
            self._nodes[NodeId(name)] = evolve_node(self._nodes.get(NodeId(name)), event)
        elif isinstance(event, PricesSet):
            for hold in self._holds.values():
                if hold.terms is None:
                    self._settle(hold, at)
            self._prices = event.prices

    def close(self, at: int) -> Report:
        """The report, as of the end of the stretch."""
        self._measure(at)
        for hold in self._holds.values():
            self._settle(hold, at)
        for job in sorted(self._waiting):
            self._of(self._projects[job]).unplaced += 1
            self._waits[job] += max(0, at - self._waiting[job])
        for job, wait in self._waits.items():
            account = self._of(self._projects[job])
            account.waited += 1
            account.wait_us += wait
            account.longest_us = max(account.longest_us, wait)
        return self.report

    def _job(self, job: JobId, event: e.JobEvent, at: int) -> None:
        if isinstance(event, e.Submitted | e.Reopened):
            self._projects[job] = event.spec.project
            self._of(event.spec.project).submitted += isinstance(event, e.Submitted)
        account = self._of(self._projects[job])
        if isinstance(event, e.Queued):
            self._waiting[job] = at
            self._waits.setdefault(job, 0)
        elif isinstance(event, e.Placed | e.Cancelled | e.Suspended) and job in self._waiting:
            self._waits[job] += at - self._waiting.pop(job)
        account.placed += isinstance(event, e.Placed)
        account.preempted += e.is_preemption(event)
        account.ended += isinstance(event, e.Succeeded | e.Failed | e.TimedOut)

    def _of(self, project: ProjectId) -> Account:
        return self.report.accounts.setdefault(project, Account())

    def _settle(self, hold: _Hold, at: int) -> None:
        span = max(0, at - hold.since)
        account = self._of(hold.project)
        account.cost_micro += self._cost(hold, at)
        account.cpu_milli_us += hold.amount.cpu_milli * span
        account.gpu_milli_us += hold.amount.gpu_milli * span
        self.report.cpu_used += hold.amount.cpu_milli * span
        self.report.gpu_used += hold.amount.gpu_milli * span
        hold.since = at

    def _cost(self, hold: _Hold, at: int) -> int:
        if hold.terms is None:
            rates = rates_of(self._prices, hold.model)
            return rates.cost(hold.amount, max(0, at - hold.since))
        return hold.terms.rates.cost(hold.amount, max(0, min(at, hold.terms.until) - hold.since))

    def _measure(self, at: int) -> None:
        span, self._at = max(0, at - self._at), max(at, self._at)
        there = NOTHING
        for node in self._nodes.values():
            if node.alive:
                there = there + node.offer.capacity
        self.report.cpu_there += there.cpu_milli * span
        self.report.gpu_there += there.gpu_milli * span


def _model(start: Snapshot, node: NodeId, devices: tuple[DeviceId, ...]) -> str:
    offered = {each.id: each.model for each in start.nodes[node].node.offer.devices}
    for each in devices:
        found = slot_of(each)
        return offered.get(found[0] if found else each, "")
    return ""
