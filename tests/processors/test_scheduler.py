"""The scheduler on a real log, with events that arrive while a cycle is under way."""

from __future__ import annotations

from collections.abc import Sequence

from domain.allocation import allocation as allocations
from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome
from domain.event import Event, Meta, Recorded, StreamId
from domain.job import job as jobs
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.node import node as nodes
from domain.node.events import Registered
from domain.policy.events import PriceList, PricesSet
from domain.project.budget import Budget, Per, window_at
from domain.project.events import BudgetsSet
from domain.values.ids import JobId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.time import HOUR, MINUTE
from infra.recorder import Answer, Epoch, Session
from infra.store import Change, Store, stream_of
from processors.scheduler import ROLE, Scheduler

META = Meta("test", "command:test", "test", "ml-research")
NODE = NodeId("node-1")


class Busy(Store):
    """The store, in which seats of `ending` end right after the scheduler's next append."""

    ending: str = ""

    def append(
        self,
        changes: Sequence[Change],
        *,
        epoch: Epoch | None = None,
        answer: Answer | None = None,
        session: Session | None = None,
    ) -> list[Recorded]:
        recorded = super().append(changes, epoch=epoch, answer=answer, session=session)
        if epoch is not None and self.ending:
            job, self.ending = self.ending, ""
            end_seat(self, job)
        return recorded

    def wait(self, seconds: float) -> None:
        """The port of streams, of which only reading is needed here."""


def end_seat(store: Store, job: str) -> None:
    """The job's only seat starts, and exits with 0."""
    stream = stream_of("allocation", f"alloc-{job.removeprefix('job-')}-1")
    state, version = store.load(stream, allocations.evolve, None)
    assert state is not None
    end = SeatEnd(Outcome.EXITED, 0, "")
    events: list[Event] = [
        *allocations.seat_started(state, 0, NODE, "boot", "process"),
        *allocations.seat_ended(state, 0, NODE, "boot", end),
    ]
    store.append([Change(stream, version, events, META)])


def phase(store: Store, job: str) -> Phase:
    state, _ = store.load(stream_of("job", JobId(job)), jobs.evolve, None)
    assert state is not None
    return state.phase


def test_a_seat_that_ends_while_another_is_concluded_is_concluded_too(dsn: str) -> None:
    store = Busy(dsn)
    offer = Registered(NODE, "boot", Resources(8000, 2**30), (), ("process",))
    registered: list[Event] = [*nodes.register(None, offer)]
    store.append([Change(stream_of("node", NODE), 0, registered, META)])
    spec = JobSpec("job", ProjectId("ml-research"), ("true",))
    for name in ("job-1", "job-2"):
        submitted: list[Event] = [*jobs.submit(JobId(name), spec, "test", store.now())]
        store.append([Change(stream_of("job", name), 0, submitted, META)])
    scheduler = Scheduler(store, store, store.take_role(ROLE, "test"), store.now)
    settle(scheduler)
    end_seat(store, "job-1")
    store.ending = "job-2"
    settle(scheduler)
    assert [phase(store, job) for job in ("job-1", "job-2")] == [Phase.SUCCEEDED] * 2
    store.close()


def test_the_next_window_of_a_budget_wakes_it(dsn: str) -> None:
    """Nothing happens but time."""
    store = Busy(dsn)
    price = PriceList("USD", 1_000_000, 0, 0)
    budget = Budget(Per.DAY, money_micro=600_000)
    offer = Registered(NODE, "boot", Resources(8000, 2**30), (), ("process",))
    streams: dict[str, list[Event]] = {
        "policy/cell": [PricesSet(price)],
        "project/ml-research": [BudgetsSet((budget,))],
        stream_of("node", NODE): [*nodes.register(None, offer)],
    }
    spec = JobSpec("job", ProjectId("ml-research"), ("true",), time_limit_seconds=1800)
    for name in ("job-1", "job-2"):
        streams[stream_of("job", name)] = [*jobs.submit(JobId(name), spec, "ada", store.now())]
    for stream, events in streams.items():
        store.append([Change(StreamId(stream), 0, events, META)])
    today, soon = (window_at(budget, store.now() + later) for later in (0, HOUR))
    ahead, ends = (0 if today == soon else HOUR), soon.until  # not just before midnight
    scheduler = Scheduler(store, store, store.take_role(ROLE, "test"), lambda: store.now() + ahead)
    settle(scheduler)
    assert [phase(store, job) for job in ("job-1", "job-2")] == [Phase.STARTING, Phase.QUEUED]
    ahead = ends - store.now() - MINUTE
    assert not scheduler.cycle()
    ahead += 2 * MINUTE
    assert scheduler.cycle()
    assert phase(store, "job-2") is Phase.STARTING
    store.close()


def settle(scheduler: Scheduler) -> None:
    """Let it run until it waits for something new."""
    while scheduler.cycle():
        pass
