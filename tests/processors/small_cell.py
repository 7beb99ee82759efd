"""A small cell on a real log: what people and agents do, as plain calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from domain.allocation import allocation as allocations
from domain.allocation.allocation import Allocation, SeatEnd
from domain.allocation.seat import Outcome
from domain.event import Event, Meta
from domain.job import job as jobs
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.node import node as nodes
from domain.node.events import Registered
from domain.project.events import Quota, QuotaSet
from domain.values.ids import JobId, NodeId, ProjectId
from domain.values.resources import Resources
from infra.follow import Bell, PostgresStream
from infra.store import Change, Store, stream_of
from processors.projector import Projector, connect
from processors.scheduler import ROLE, Scheduler
from projections.tables import prepare

META = Meta("test", "command:test", "test", "ml")
BOOT = "boot-1"
GIB = 2**30


class SmallCell:
    """One cell's log and who acts on it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.store = Store(dsn)
        self.connection = connect(dsn)
        prepare(self.connection)
        self.stream = PostgresStream(self.store, Bell(dsn))

    def close(self) -> None:
        """Give the connections back."""
        self.stream.close()
        self.connection.close()
        self.store.close()

    # people

    def submit(self, name: str, **spec: Any) -> None:
        """A new job."""
        wanted = JobSpec(name, ProjectId("ml"), ("true",), **spec)
        submitted = jobs.submit(JobId(name), wanted, "ada", self.store.now())
        self.store.append([Change(stream_of("job", name), 0, [*submitted], META)])

    def decide(self, job: str, command: Callable[[Job], Sequence[Event]]) -> None:
        """A command on a job."""

        def run(state: Job | None) -> Sequence[Event]:
            assert state is not None
            return command(state)

        self.store.execute(stream_of("job", job), jobs.evolve, None, run, META)

    @staticmethod
    def cpus(count: int) -> Resources:
        """So many CPUs for each seat."""
        return Resources(count * 1000)

    def limit(self, cpus: int) -> None:
        """The project may hold this many CPUs."""
        event = QuotaSet(Quota(cpu_milli=cpus * 1000))
        self.store.append([Change(stream_of("project", "ml"), 0, [event], META)])

    # agents

    def register(self, node: str, cpus: int = 2, boot: str = BOOT) -> None:
        """A node offers its capacity."""
        offer = Registered(NodeId(node), boot, Resources(cpus * 1000, 8 * GIB), (), ("process",))
        self._node(node, lambda state: nodes.register(state, offer))

    def cordon(self, node: str, drain: bool) -> None:
        """The node takes no new work."""

        def cordon(state: nodes.Node | None) -> Sequence[Event]:
            assert state is not None
            return nodes.cordon(state, "works", drain)

        self._node(node, cordon)

    def _node(self, node: str, command: Callable[[nodes.Node | None], Sequence[Event]]) -> None:
        self.store.execute(stream_of("node", node), nodes.evolve, None, command, META)

    def start(self, job: str) -> None:
        """Every seat of the job's attempt runs."""
        self._seats(job, lambda a, seat: allocations.seat_started(a, *seat, "process"))

    def end(self, job: str, outcome: Outcome = Outcome.EXITED, code: int | None = 0) -> None:
        """Every seat of the job's attempt ends."""
        end = SeatEnd(outcome, code, "")
        self._seats(job, lambda a, seat: allocations.seat_ended(a, *seat, end))

    def _seats(
        self, job: str, fact: Callable[[Allocation, tuple[int, NodeId, str]], Sequence[Event]]
    ) -> None:
        name = self.job(job).allocation
        assert name is not None, f"{job} is not placed"
        seats = self.allocation(name).seats

        def run(state: Allocation | None) -> Sequence[Event]:
            assert state is not None
            return [x for seat in seats for x in fact(state, (seat.rank, seat.node, BOOT))]

        self.store.execute(stream_of("allocation", name), allocations.evolve, None, run, META)

    # the cell

    def job(self, name: str) -> Job:
        """A job as its events left it."""
        state, _ = self.store.load(stream_of("job", name), jobs.evolve, None)
        assert state is not None
        return state

    def phase(self, name: str) -> str:
        return self.job(name).phase.value

    def allocation(self, name: str) -> Allocation:
        """An allocation as its events left it."""
        state, _ = self.store.load(stream_of("allocation", name), allocations.evolve, None)
        assert state is not None
        return state

    def scheduler(self, store: Store | None = None) -> Scheduler:
        """A new leader, whose snapshot is still empty."""
        epoch = self.store.take_role(ROLE, "test")
        return Scheduler(store or self.store, self.stream, epoch, self.now)

    def now(self) -> int:
        """Store time."""
        return self.store.now()

    def project(self) -> None:
        """Bring the read models to the end of the log."""
        projector = Projector(self.connection, self.stream)
        while projector.step():
            pass

    def happened(self, kind: type[Event]) -> list[Any]:
        """Every event of a kind, in order."""
        log = self.store.read(0, 10_000)
        return [recorded.event for recorded in log if isinstance(recorded.event, kind)]


@contextmanager
def small_cell(dsn: str) -> Iterator[SmallCell]:
    """A cell for the length of a test."""
    with closing(SmallCell(dsn)) as cell:
        yield cell


def settle(scheduler: Scheduler) -> None:
    """Let it run until it waits for something new."""
    while scheduler.cycle():
        pass
