"""What the simulation keeps in memory does what the real thing does: one suite for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import psycopg
import pytest
from psycopg.rows import dict_row

from domain.errors import Conflict, Refusal, StaleWriter, Unavailable
from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra import failover, leases
from infra.recorder import Answer, Session
from infra.store import Change, KeyTaken, Log, Store, VersionConflict, stream_of
from tests.simulation.leases import MemoryLeases
from tests.simulation.log import MemoryLog

TTL_MS = 20_000
ROLES = ("scheduler", "timers")
STREAM = stream_of("project", "ml")
CREATED = Created(ProjectId("ml"), "")
META = Meta("ada", "command:1", "trace-1", "ml")


class Leases(Protocol):
    """Node leases, with a way to let them run out."""

    def take(self, node: str, boot: str, nonce: str, ttl_ms: int) -> str: ...
    def renew(self, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int) -> str: ...
    def session(self, node: str, boot: str) -> str: ...
    def expire(self) -> list[tuple[str, str]]: ...
    def settle(self, node: str, session: str) -> None: ...
    def run_out(self) -> None: ...
    def fail_over(self, log: Log) -> None: ...
    def held(self, log: Log) -> bool: ...
    def release(self, log: Log) -> None: ...


class InPostgres:
    """`infra.leases` and `infra.failover` on a real database."""

    def __init__(self, dsn: str, connection: leases.Connection) -> None:
        self._dsn, self._connection = dsn, connection

    def take(self, node: str, boot: str, nonce: str, ttl_ms: int) -> str:
        return leases.take(self._connection, node, boot, nonce, ttl_ms)

    def renew(self, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int) -> str:
        return leases.renew(self._connection, node, boot, nonce, fresh, ttl_ms)

    def session(self, node: str, boot: str) -> str:
        return leases.session(self._connection, node, boot)

    def expire(self) -> list[tuple[str, str]]:
        return leases.expire(self._connection)

    def settle(self, node: str, session: str) -> None:
        leases.settle(self._connection, node, session)

    def run_out(self) -> None:
        self._connection.execute("UPDATE node_leases SET expires_at = now() - interval '1 hour'")
        self._connection.execute("UPDATE leaders SET since = since - interval '1 hour'")

    def fail_over(self, log: Log) -> None:  # noqa: ARG002 - it is in the same database
        failover.fail_over(self._dsn, ROLES, None)

    def held(self, log: Log) -> bool:  # noqa: ARG002
        return failover.holds(self._connection)

    def release(self, log: Log) -> None:  # noqa: ARG002
        failover.release(self._dsn)


class InMemory(MemoryLeases):
    """The simulation's."""

    def __init__(self) -> None:
        self.now = 0
        super().__init__(lambda: self.now)

    def run_out(self) -> None:
        self.now += 3_600_000_000

    def fail_over(self, log: Log) -> None:
        assert isinstance(log, MemoryLog), "they are made together"
        log.fail_over(log.copy())

    def held(self, log: Log) -> bool:
        assert isinstance(log, MemoryLog), "they are made together"
        return log.held()

    def release(self, log: Log) -> None:
        assert isinstance(log, MemoryLog), "they are made together"
        log.release(log.failovers)


@pytest.fixture(params=["memory", "postgres"])
def cell(request: pytest.FixtureRequest) -> Iterator[tuple[Leases, Log]]:
    if request.param == "memory":
        port = InMemory()
        log = MemoryLog(lambda: port.now)
        log.holds = port.holds
        yield port, log
        return
    dsn: str = request.getfixturevalue("dsn")
    store: Store = request.getfixturevalue("store")
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        yield InPostgres(dsn, connection), store


@pytest.fixture
def port(cell: tuple[Leases, Log]) -> Leases:
    return cell[0]


@pytest.fixture
def log(cell: tuple[Leases, Log]) -> Log:
    return cell[1]


def _lose(port: Leases) -> list[tuple[str, str]]:
    port.run_out()
    lost = port.expire()
    for node, session in lost:
        port.settle(node, session)
    return lost


def test_a_session_goes_on_while_its_lease_does(port: Leases) -> None:
    session = port.take("n", "boot", "a" * 20, TTL_MS)
    assert leases.of_boot(session, "boot")
    assert port.renew("n", "boot", "a" * 20, "b" * 20, TTL_MS) == session
    assert port.take("n", "boot", "c" * 20, TTL_MS) == session  # the agent was started again
    assert port.session("n", "boot") == session
    assert port.expire() == []


def test_a_boot_whose_lease_was_lost_gets_another_session(port: Leases) -> None:
    first = port.take("n", "boot", "a" * 20, TTL_MS)
    assert _lose(port) == [("n", first)]
    second = port.take("n", "boot", "b" * 20, TTL_MS)
    assert second != first
    assert leases.of_boot(second, "boot")
    assert port.session("n", "boot") == second
    assert port.renew("n", "boot", "b" * 20, "c" * 20, TTL_MS) == second


def test_a_lease_that_ran_out_unseen_goes_on(port: Leases) -> None:
    first = port.take("n", "boot", "a" * 20, TTL_MS)
    port.run_out()
    with pytest.raises(StaleWriter, match="the lease is over"):
        port.renew("n", "boot", "a" * 20, "b" * 20, TTL_MS)
    assert port.take("n", "boot", "b" * 20, TTL_MS) == first


def test_a_loss_is_recorded_before_the_node_comes_back(port: Leases) -> None:
    first = port.take("n", "boot", "a" * 20, TTL_MS)
    port.run_out()
    assert port.expire() == [("n", first)]
    for boot in ("boot", "other"):
        with pytest.raises(Conflict):
            port.take("n", boot, "b" * 20, TTL_MS)
    assert port.expire() == [("n", first)]
    port.settle("n", "another session")
    assert port.expire() == [("n", first)]
    port.settle("n", first)
    assert port.expire() == []


def test_another_boot_waits_and_then_has_a_session_of_its_own(port: Leases) -> None:
    first = port.take("n", "old", "a" * 20, TTL_MS)
    with pytest.raises(Conflict):
        port.take("n", "new", "b" * 20, TTL_MS)
    port.run_out()
    second = port.take("n", "new", "b" * 20, TTL_MS)
    assert leases.of_boot(second, "new")
    assert not leases.of_boot(second, "old")
    assert port.session("n", "old") == "old"
    port.run_out()
    third = port.take("n", "old", "c" * 20, TTL_MS)
    assert len({first, second, third}) == 3


def test_a_nonce_works_once_more_and_no_older_one_does(port: Leases) -> None:
    port.take("n", "boot", "a", TTL_MS)
    port.renew("n", "boot", "a", "b", TTL_MS)
    port.renew("n", "boot", "a", "c", TTL_MS)  # the answer with b was lost
    port.renew("n", "boot", "c", "d", TTL_MS)
    for stale in ("a", "b", ""):
        with pytest.raises(StaleWriter):
            port.renew("n", "boot", stale, "e", TTL_MS)
    with pytest.raises(StaleWriter):
        port.renew("n", "other", "d", "e", TTL_MS)


def _refused(log: Log, kind: type[Refusal], changes: list[Change], **claims: Any) -> None:
    """The append is refused, and nothing of it is recorded."""
    before = log.head()
    with pytest.raises(kind):
        log.append(changes, **claims)
    assert log.head() == before


def test_an_append_states_the_version_it_follows(log: Log) -> None:
    [first] = log.append([Change(STREAM, 0, [CREATED], META)])
    other = stream_of("project", "other")
    rivals = [Change(other, 0, [CREATED], META), Change(STREAM, 0, [CREATED], META)]
    _refused(log, VersionConflict, rivals)
    [second] = log.append([Change(STREAM, 1, [CREATED], META)])
    assert second.position > first.position
    assert log.read(first.position) == log.stream(STREAM, 1) == [second]


def test_a_key_is_answered_once(log: Log) -> None:
    answer = Answer("ada", "key-1", "f1", 201, b"{}")
    [recorded] = log.append([Change(STREAM, 0, [CREATED], META)], answer=answer)
    saved = log.recall("ada", "key-1")
    assert saved is not None
    assert (saved.fingerprint, saved.position) == ("f1", recorded.position)
    assert log.recall("ben", "key-1") is None
    _refused(log, KeyTaken, [Change(STREAM, 1, [CREATED], META)], answer=answer)


def test_an_epoch_that_is_over_cannot_write(log: Log) -> None:
    first, second = log.take_role("scheduler", "a"), log.take_role("scheduler", "b")
    _refused(log, StaleWriter, [Change(STREAM, 0, [CREATED], META)], epoch=first)
    [recorded] = log.append([Change(STREAM, 0, [CREATED], META)], epoch=second)
    assert recorded.epoch == second.number


def test_after_a_failover_nobody_leads_until_what_may_be_lost_is_over(
    log: Log, port: Leases
) -> None:
    before = [log.take_role(role, "a") for role in ROLES]
    assert not port.held(log)
    port.fail_over(log)
    port.run_out()  # also where the database's clock is set ahead
    for role in ROLES:
        with pytest.raises(Unavailable):
            log.take_role(role, "b")
    assert port.held(log)
    port.release(log)
    assert not port.held(log)
    for epoch in before:
        assert log.take_role(epoch.role, "b").number > epoch.number + failover.EPOCHS
        _refused(log, StaleWriter, [Change(STREAM, 0, [CREATED], META)], epoch=epoch)


def test_only_the_last_registration_may_be_recorded(log: Log, port: Leases) -> None:
    _refused(log, StaleWriter, [Change(STREAM, 0, [CREATED], META)], session=Session("n", "x"))
    first, second, third = (Session("n", letter * 20) for letter in "abc")
    port.take("n", "boot", first.nonce, TTL_MS)
    log.append([Change(STREAM, 0, [CREATED], META)], session=first)
    port.take("n", "boot", second.nonce, TTL_MS)  # its answer was lost, or the agent began anew
    _refused(log, StaleWriter, [Change(STREAM, 1, [CREATED], META)], session=first)
    log.append([Change(STREAM, 1, [CREATED], META)], session=second)
    port.renew("n", "boot", second.nonce, third.nonce, TTL_MS)
    _refused(log, StaleWriter, [Change(STREAM, 2, [CREATED], META)], session=second)
    port.run_out()
    log.append([Change(STREAM, 2, [CREATED], META)], session=third)  # nobody saw it run out
    _lose(port)
    _refused(log, StaleWriter, [Change(STREAM, 3, [CREATED], META)], session=third)
