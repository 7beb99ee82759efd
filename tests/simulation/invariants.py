"""The invariants of docs/reliability.md, checked at every event and at every start of a process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation
from domain.allocation.events import AllocationEvent, Granted, Released, SeatEnded, SeatLost
from domain.allocation.seat import Outcome
from domain.event import Recorded
from domain.job import job as jobs
from domain.job.events import GraceExpired, JobEvent, Placed, Reopened, StopCause, Submitted
from domain.job.job import Job
from domain.job.transitions import TRANSITIONS
from domain.node import node as nodes
from domain.node.events import NodeEvent, Registered
from domain.node.node import Node
from domain.project.events import Quota, QuotaSet
from domain.reservation.events import ReservationEvent
from domain.scheduling.events import Decided
from domain.values import mig
from domain.values.ids import DeviceId
from domain.values.resources import NOTHING, Resources
from infra.recorder import Answer, Epoch
from tests.simulation.law_of_budgets import LawOfBudgets
from tests.simulation.law_of_order import LawOfOrder
from tests.simulation.law_of_windows import LawOfWindows, admits
from tests.simulation.laws import given_twice, standing
from tests.simulation.loop import Trace
from tests.simulation.machine import Machine, Process

_SEEN: dict[object, str] = {
    StopCause.WINDOW: "a job leaves for a window",
    StopCause.MIGRATION: "a job leaves to run elsewhere",
    StopCause.BUDGET: "a job comes to the end of what its budget paid",
}


class Violation(BaseException):
    """An invariant does not hold; nothing of the product may catch it."""

    def __init__(self, invariant: str, detail: str, job: str = "", story: str = "") -> None:
        super().__init__(invariant, detail, job, story)
        self.invariant, self.detail, self.job, self.story = invariant, detail, job, story

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}\n{self.story}"


class Checker:
    """What the log and the machines say, kept apart from all the product keeps."""

    def __init__(self, trace: Trace, epochs: dict[str, int]) -> None:
        self._trace = trace
        self._epochs = epochs
        self.jobs: dict[str, Job] = {}
        self.allocations: dict[str, Allocation] = {}
        self.nodes: dict[str, Node] = {}
        self.machines: dict[str, Machine] = {}
        self._quotas: dict[str, list[tuple[int, Quota]]] = {}
        self._states: dict[str, list[tuple[int, Node]]] = {}
        self._projects: dict[str, str] = {}
        self._names: set[str] = set()
        self._keys: set[tuple[str, str]] = set()
        self._position = 0
        self._epochs_given: set[Epoch] = set()
        self.windows = LawOfWindows(self.fail, self._states)
        self.budgets = LawOfBudgets(self.fail)
        self.order = LawOfOrder(self.fail)
        self.names: dict[str, str] = {}
        """Of every job that ever was, also of those a failover lost."""

    def copy(self) -> tuple[Any, ...]:
        """What was true at this moment."""
        quotas = {name: list(known) for name, known in self._quotas.items()}
        states = {name: list(known) for name, known in self._states.items()}
        return (
            dict(self.jobs),
            dict(self.allocations),
            dict(self.nodes),
            quotas,
            states,
            dict(self._projects),
            set(self._names),
            set(self._keys),
            self._position,
            self.windows.copy(states),
            self.budgets.copy(),
            self.order.copy(),
        )

    def fail_over(self, standby: tuple[Any, ...]) -> None:
        """What was true then is true again."""
        self.jobs, self.allocations, self.nodes, self._quotas, self._states = standby[:5]
        self._projects, self._names, self._keys, self._position = standby[5:9]
        self.windows, self.budgets, self.order = standby[9:]

    def fail(
        self, invariant: str, detail: str, job: str = "", nodes: set[str] | None = None
    ) -> None:
        """Raise, with the story of the job and of the nodes it is about."""
        about = set(nodes or ())
        if job in self.jobs:
            about |= {str(seat.node) for seat in self.jobs[job].seats}
        lines = self._trace.story(job, about, 60)
        raise Violation(invariant, detail, job, "\n".join(lines))

    def recorded(self, batch: list[Recorded], epoch: Epoch | None, answer: Answer | None) -> None:
        """A transaction was committed."""
        if epoch is not None and self._epochs.get(epoch.role) != epoch.number:
            self.fail("I11", f"a write of epoch {epoch.number} of {epoch.role}, which is over")
        if answer is not None:
            if (answer.principal, answer.key) in self._keys:
                self.fail("I10", f"the command {answer.key} had a second effect")
            self._keys.add((answer.principal, answer.key))
        for item in batch:
            self.one(item)
        for item in batch:
            if isinstance(item.event, Granted):
                self._granted(item.event, item)
        if isinstance(batch[0].event, Decided):
            self.windows.decided(self.jobs, self.allocations)

    def took(self, epoch: Epoch) -> None:
        """A leader took a role."""
        if epoch in self._epochs_given:
            self.fail("I11", f"epoch {epoch.number} of {epoch.role} was given twice")
        self._epochs_given.add(epoch)

    def noted(self, epoch: Epoch) -> None:
        """A relay noted how far it came."""
        if self._epochs.get(epoch.role) != epoch.number:
            self.fail("I11", f"noted in epoch {epoch.number} of {epoch.role}, which is over")

    def one(self, item: Recorded) -> None:
        """An event was recorded."""
        if item.position <= self._position:
            self.fail("I9", f"position {item.position} after {self._position}")
        self._position = item.position
        if not (item.meta.actor and item.meta.cause):
            self.fail("I11", f"position {item.position} has no actor or no cause")
        event, name = item.event, item.stream.partition("/")[2]
        if isinstance(event, JobEvent):
            self._job(name, event, item)
        elif isinstance(event, AllocationEvent):
            self._allocation(name, event, item)
        elif isinstance(event, NodeEvent):
            self._trace.note(f"[{item.position}] {event.topic}", node=name)
            self.nodes[name] = nodes.evolve(self.nodes.get(name), event)
            self._states.setdefault(name, []).append((item.position, self.nodes[name]))
        elif isinstance(event, QuotaSet):
            self._trace.note(f"[{item.position}] {name}: {event}")
            self._quotas.setdefault(name, []).append((item.position, event.quota))
        elif isinstance(event, ReservationEvent | Decided):
            self.windows.recorded(item)
        if not isinstance(event, Decided | JobEvent | NodeEvent):
            self.budgets.recorded(item)

    def _job(self, name: str, event: Any, item: Recorded) -> None:
        about = getattr(event, "cause", None) or getattr(event, "outcome", None) or ""
        self._trace.note(f"[{item.position}] {event.topic} {about} by {item.meta.actor}", name)
        before = self.jobs.get(name)
        if about in _SEEN:
            self._trace.seen[_SEEN[about]] += 1
        if isinstance(event, Submitted):
            if before is not None or event.spec.name in self._names:
                self.fail("I10", f"{event.spec.name} was submitted twice", name)
            self._names.add(event.spec.name)
            self.order.submitted(item, event, self.jobs)
            self.names[name] = event.spec.name
        elif before is None or (before.phase, type(event)) not in TRANSITIONS:
            self.fail("I7", f"{event.topic} in {before and before.phase}", name)
        if isinstance(event, GraceExpired):
            assert before is not None
            if before.stop_deadline is None or item.recorded_at < before.stop_deadline:
                self.fail("I13", "its grace was cut short", name)
        after = jobs.evolve(before, event)
        if (
            before is not None
            and not isinstance(event, Reopened)
            and after.attempt < before.attempt
        ):
            self.fail("I3", "its attempt number fell", name)
        if isinstance(event, Placed) and len(event.seats) != after.spec.replicas:
            self.fail("I6", f"{len(event.seats)} of {after.spec.replicas} seats", name)
        self.order.recorded(item, before, after)
        self.jobs[name] = after

    def _allocation(self, name: str, event: Any, item: Recorded) -> None:
        before = self.allocations.get(name)
        job = event.job if before is None else before.job
        about = getattr(event, "outcome", "")
        rank = getattr(event, "rank", "")
        self._trace.note(f"[{item.position}] {event.topic} {rank} {about}", job)
        if (before is None) != isinstance(event, Granted):
            self.fail("I7", f"{event.topic} of {name}", job)
        if before is not None and before.released:
            self.fail("I7", f"{event.topic} of {name} after its release", job)
        ends = isinstance(event, SeatEnded | SeatLost)
        if ends and before is not None and before.end_of(event.rank) is not None:
            self.fail("I10", f"seat {event.rank} of {name} ended twice", job)
        if isinstance(event, Granted):
            for other in self.allocations.values():
                if other.job == job and not other.released:
                    self.fail("I3", f"{name} is granted while {other.id} is held", job)
                if other.job == job and other.attempt >= event.attempt:
                    self.fail("I3", f"attempt {event.attempt} after {other.attempt}", job)
            self._projects[name] = item.meta.project or ""
        if ends and before is not None and len(before.seats) > 1 and not before.ends:
            self._trace.seen["a gang lost one of its seats"] += _went_wrong(event)
        if isinstance(event, Released) and before is not None and not before.all_ended:
            self.fail("I6", f"{name} is released before all its seats ended", job)
        self.allocations[name] = allocations.evolve(before, event)

    def _granted(self, event: Granted, item: Recorded) -> None:
        job, read = self.jobs[event.job], int(item.meta.cause.partition(":")[2])
        if (job.allocation, job.attempt, job.seats) != (
            event.allocation,
            event.attempt,
            event.seats,
        ):
            self.fail("I6", f"{event.allocation} is granted, its job is not placed so", event.job)
        seen = self._trace.seen
        seen["a job is placed on terms of a budget"] += event.terms is not None
        seen["a job is placed for one that waits for it"] += bool(event.payer)
        seen["an instance of a GPU is given"] += any(
            "/" in d for s in event.seats for d in s.devices
        )
        for node in {str(seat.node) for seat in event.seats}:
            self._capacity(node, read, event)
        self._quota(item.meta.project or "", read, event.job)
        self.windows.granted(event, job, item.position)
        self.order.granted(event, job, read)

    def _capacity(self, node: str, read: int, event: Granted) -> None:
        """A grant keeps within what was offered when it was decided, or a later offer.

        What is still held of a GPU that broke since is not counted: it is not offered either.
        """
        held = NOTHING
        devices: list[DeviceId] = []
        for allocation in self.allocations.values():
            if allocation.released:
                continue
            for seat in allocation.seats:
                if seat.node == node:
                    held = held + allocation.per_seat
                    devices += seat.devices
        if twice := given_twice(devices):
            self.fail("I1", f"{node} gave {sorted(twice)} twice", event.job, {node})
        given = {device for seat in event.seats if seat.node == node for device in seat.devices}
        offers = [state.offer for state in standing(self._states[node], read)]
        if not any(_holds(offer, held, devices, given) for offer in offers):
            text = f"{node} holds {held} with {sorted(devices)} of {offers[-1]}"
            self.fail("I1", text, event.job, {node})

    def _quota(self, project: str, read: int, job: str) -> None:
        """A grant keeps within the quota that stood when it was decided, or a later one."""
        used = NOTHING
        for name, allocation in self.allocations.items():
            if self._projects[name] == project and not allocation.released:
                used = used + allocation.per_seat * len(allocation.seats)
        allowed = standing([(0, Quota()), *self._quotas.get(project, [])], read)
        if not any(_within(used, quota) for quota in allowed):
            self.fail("I4", f"{project} holds {used}, allowed {allowed}", job)

    def began(self, machine: Machine, process: Process) -> None:
        """A process is about to run on a machine."""
        order = process.order
        for other in self.machines.values():
            for running in other.processes.values():
                if running.order.job != order.job or not running.alive:
                    continue
                where = {machine.name, other.name}
                if running.order.attempt != order.attempt:
                    text = f"attempt {order.attempt} starts on {machine.name} while attempt"
                    text += f" {running.order.attempt} runs on {other.name}"
                    self.fail("I3", text, order.job, where)
                if running.order.rank == order.rank:
                    self.fail("I3", f"{running.key} runs twice", order.job, where)
        wanted = order.seat.devices
        cpu = order.seat.cpu_milli
        for running in machine.processes.values():
            cpu += running.order.seat.cpu_milli
            if given_twice([*wanted, *running.order.seat.devices]):
                text = f"{process.key} and {running.key} use the same GPU of {machine.name}"
                self.fail("I1", text, order.job, {machine.name})
        if cpu > machine.offer.capacity.cpu_milli:
            self.fail("I1", f"{machine.name} runs {cpu} of its CPUs", order.job, {machine.name})

    def clear(self, now: int, slack: int) -> None:
        """What runs is where it may be, and paid for, or was for less than `slack`."""
        for terms, node in self.windows.under_way(now, slack):
            for process in self.machines[node].processes.values():
                job = self.jobs.get(process.order.job)
                if job is not None and not admits(terms, job):
                    text = f"{process.key} runs on {node}, which is kept from it"
                    self.fail("I12", text, process.order.job, {node})
        for machine in self.machines.values():
            for process in machine.processes.values():
                held = self.budgets.judge.held.get(process.order.allocation)
                if held is not None and held.until is not None and held.until + slack <= now:
                    text = f"{process.key} runs on after what its budget paid for"
                    self.fail("I4", text, process.order.job, {machine.name})


def _holds(
    offer: Registered, held: Resources, devices: list[DeviceId], given: set[DeviceId]
) -> bool:
    known = {str(device.id) for device in offer.devices if not device.mig}
    known |= {slot.on(device.id) for device in offer.devices for slot in device.mig}
    each = {d: mig.milli_of(s[1].profile) if (s := mig.slot_of(d)) else 1000 for d in devices}
    gone = sum(milli for device, milli in each.items() if device not in known)
    rest = replace(held, gpu_milli=held.gpu_milli - gone)
    return known.issuperset(given) and rest.fits(offer.capacity)


def _went_wrong(event: SeatEnded | SeatLost) -> bool:
    """Whether a seat ended other than by itself and well."""
    return isinstance(event, SeatLost) or event.outcome is not Outcome.EXITED


def _within(used: Resources, quota: Quota) -> bool:
    return all(limit is None or getattr(used, name) <= limit for name, limit in vars(quota).items())
