"""The timers on a real log, read models and leases: what is due happens, once, and never early."""

from __future__ import annotations

import pytest

from domain.allocation.seat import Outcome
from domain.errors import StaleWriter
from domain.event import Event
from domain.job import events as e
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.spec import Retry
from domain.node.events import Cordoned, Lost, Uncordoned
from domain.policy.events import SchedulerSet, SchedulerSettings
from domain.values.time import HOUR, MINUTE, SECOND
from infra import leases
from infra.store import Change, stream_of
from processors.timers import ROLE, Timers
from processors.watch import PostgresWatch
from tests.processors.small_cell import META, SmallCell, settle


def timers(cell: SmallCell) -> Timers:
    """The new leader of the timers."""
    return Timers(cell.store, PostgresWatch(cell.connection), cell.store.take_role(ROLE, "test"))


def running(cell: SmallCell, started_ago: int = 0, **spec: object) -> None:
    """`job` runs on `node-1` since some seconds ago."""
    cell.register("node-1")
    cell.submit("job", **spec)
    settle(cell.scheduler())
    at = cell.now() - started_ago * SECOND
    cell.decide("job", lambda job: jobs.start(job, 1, at))


def tick(cell: SmallCell, process: Timers) -> None:
    """The timers look at read models that are up to date."""
    cell.project()
    process.tick()


def test_a_stop_whose_grace_is_over_is_said_to_be_over_once(cell: SmallCell) -> None:
    running(cell)
    process = timers(cell)
    cell.decide("job", lambda job: jobs.stop(job, StopCause.SUSPEND, cell.now() + HOUR))
    tick(cell, process)
    assert cell.happened(e.GraceExpired) == []
    cell.decide("job", lambda job: jobs.cancel(job, cell.now() - SECOND))
    tick(cell, process)
    tick(cell, process)
    assert cell.happened(e.GraceExpired) == [e.GraceExpired(1)]


@pytest.mark.parametrize("backoff", [0, 3600])
def test_a_retry_is_queued_when_its_backoff_is_over(cell: SmallCell, backoff: int) -> None:
    running(cell, retry=Retry(1, backoff, backoff))
    cell.end("job", Outcome.EXITED, 1)
    settle(cell.scheduler())
    assert cell.phase("job") == "held"
    process = timers(cell)
    tick(cell, process)
    assert cell.phase("job") == ("held" if backoff else "queued")
    assert cell.job("job").failures == 1


@pytest.mark.parametrize(("wish", "grace"), [(None, 7), (90, 90)])
def test_an_attempt_at_its_time_limit_is_asked_to_end(
    cell: SmallCell, wish: int | None, grace: int
) -> None:
    """With the grace it wished for, else that of the policy."""
    settings: list[Event] = [SchedulerSet(SchedulerSettings(grace_seconds=7))]
    cell.store.append([Change(stream_of("policy", "cell"), 0, settings, META)])
    running(cell, started_ago=61, time_limit_seconds=60, grace_seconds=wish)
    process, before = timers(cell), cell.now()
    tick(cell, process)
    tick(cell, process)
    [asked] = cell.happened(e.StopRequested)
    assert (asked.attempt, asked.cause) == (1, StopCause.TIME_LIMIT)
    assert before <= asked.deadline - grace * SECOND <= cell.now()


def test_an_attempt_within_its_time_limit_is_left_alone(cell: SmallCell) -> None:
    running(cell, started_ago=50, time_limit_seconds=3600)
    tick(cell, timers(cell))
    assert cell.phase("job") == "running"


def test_a_node_whose_lease_ran_out_is_lost_once_and_its_job_queued_again(cell: SmallCell) -> None:
    session = leases.take(cell.connection, "node-1", "boot", "nonce", -2 * leases.MARGIN_MS)
    leases.take(cell.connection, "node-2", "boot", "nonce", 3_600_000)
    cell.register("node-1", boot=session)
    cell.register("node-2", cpus=1)
    cell.submit("job", resources=cell.cpus(2))
    settle(cell.scheduler())
    process = timers(cell)
    tick(cell, process)
    tick(cell, process)
    assert [lost.node for lost in cell.happened(Lost)] == ["node-1"]
    settle(cell.scheduler())
    assert cell.phase("job") == "queued"
    assert leases.expire(cell.connection) == []


def test_a_loss_that_was_not_settled_is_recorded_once(cell: SmallCell) -> None:
    """The process ended between the append and the note in the lease."""

    class Killed(PostgresWatch):
        def settle_lease(self, node: str, session: str) -> None:  # noqa: ARG002 - it does not come to it
            raise KeyboardInterrupt

    session = leases.take(cell.connection, "node-1", "boot", "nonce", -2 * leases.MARGIN_MS)
    cell.register("node-1", boot=session)
    first = Timers(cell.store, Killed(cell.connection), cell.store.take_role(ROLE, "test"))
    with pytest.raises(KeyboardInterrupt):
        first.tick()
    timers(cell).tick()
    assert len(cell.happened(Lost)) == 1
    assert leases.expire(cell.connection) == []


def test_a_read_model_that_lags_makes_nothing_happen_twice(cell: SmallCell) -> None:
    """Views only say where to look: the job was cancelled since."""
    running(cell, started_ago=61, time_limit_seconds=60)
    cell.project()
    cell.end("job")
    settle(cell.scheduler())
    head = cell.store.head()
    timers(cell).tick()
    assert cell.store.head() == head


def test_whoever_leads_no_more_changes_nothing_and_ends(cell: SmallCell) -> None:
    running(cell, started_ago=61, time_limit_seconds=60)
    stale, head = timers(cell), cell.store.head()
    fresh = timers(cell)
    cell.project()
    with pytest.raises(StaleWriter):
        stale.tick()
    assert cell.store.head() == head
    fresh.tick()
    assert cell.phase("job") == "stopping"


@pytest.mark.parametrize("broken", ["job/bad", "node/node-0"])
def test_an_unreadable_stream_keeps_no_other_from_what_is_due(cell: SmallCell, broken: str) -> None:
    """Nothing is decided on a stream that cannot be read; it is tried again with every tick."""
    for node in ("node-0", "node-1"):
        session = leases.take(cell.connection, node, "boot", "nonce", -2 * leases.MARGIN_MS)
        cell.register(node, cpus=4, boot=session)
    for name in ("bad", "good"):
        cell.submit(name, time_limit_seconds=60)
        settle(cell.scheduler())
        cell.decide(name, lambda job: jobs.start(job, 1, cell.now() - HOUR))
    cell.project()
    cell.connection.execute(
        "UPDATE stored_events SET topic = 'nobody.knows.v1' WHERE notification_id ="
        " (SELECT max(notification_id) FROM stored_events WHERE originator_id = %s)",
        (broken,),
    )
    process = timers(cell)
    process.tick()
    streams = {"job/bad", "job/good", "node/node-0", "node/node-1"} - {broken}
    found = cell.connection.execute(
        "SELECT originator_id FROM stored_events WHERE topic = ANY(%s)",
        ([Lost.topic, e.StopRequested.topic],),
    ).fetchall()
    assert {row["originator_id"] for row in found} == streams
    process.tick()


def lose(cell: SmallCell, process: Timers, node: str, boot: str) -> None:
    """The node takes a lease that is over at once."""
    session = leases.take(cell.connection, node, boot, f"nonce-{boot}", -2 * leases.MARGIN_MS)
    cell.register(node, boot=session)
    tick(cell, process)


def cordons(cell: SmallCell) -> list[Event]:
    return [*cell.happened(Cordoned), *cell.happened(Uncordoned)]


def test_a_node_that_is_lost_again_and_again_takes_no_work_for_a_while(cell: SmallCell) -> None:
    process, before = timers(cell), cell.now()
    leases.take(cell.connection, "node-2", "boot", "nonce", 3_600_000)
    cell.register("node-2")
    for boot in ("one", "two"):
        lose(cell, process, "node-1", boot)
    assert cordons(cell) == []
    lose(cell, process, "node-1", "three")
    [cordoned] = cell.happened(Cordoned)
    assert cordoned.until is not None
    assert before <= cordoned.until - 10 * MINUTE <= cell.now()
    assert len(cell.happened(Lost)) == 3
    tick(cell, process)
    assert cell.happened(Uncordoned) == [], "its time is not over"


def test_a_cordon_is_over_when_its_time_is(cell: SmallCell) -> None:
    cell.register("node-1")
    brief = [Cordoned("lost 3 times within an hour", until=cell.now() - 1)]
    cell.store.append([Change(stream_of("node", "node-1"), 1, [*brief], META)])
    process = timers(cell)
    tick(cell, process)
    tick(cell, process)
    assert cell.happened(Uncordoned) == [Uncordoned()]


def test_the_only_node_is_not_cordoned(cell: SmallCell) -> None:
    process = timers(cell)
    for boot in ("one", "two", "three", "four"):
        lose(cell, process, "node-1", boot)
    assert len(cell.happened(Lost)) == 4
    assert cordons(cell) == []
