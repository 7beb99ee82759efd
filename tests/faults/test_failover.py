"""F09: a real standby is promoted: what is lost is told, epochs rise, agents come first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from domain.errors import StaleWriter, Unavailable
from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.failover import EPOCHS, fail_over, release
from infra.migrations import migrate
from infra.recorder import Epoch
from infra.store import Change, Store, stream_of
from tests.faults.cell import until
from tests.faults.checks import check_epochs
from tests.faults.postgres import Server

META = Meta("ada", "command:1", "trace", "ml")


@contextmanager
def pair(*, synchronous: bool = False) -> Iterator[tuple[Server, Server]]:
    """A primary with a migrated cell, and a standby that follows it."""
    with tempfile.TemporaryDirectory(prefix="compute-pair-") as name:
        folder = Path(name)
        primary, standby = Server(folder / "primary"), Server(folder / "standby")
        primary.make()
        primary.start()
        try:
            migrate(primary.dsn)
            source = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
            standby.run(
                "pg_basebackup", "-D", str(standby.data), "-d", source, "-R", "-X", "stream"
            )
            standby.start()
            with psycopg.connect(primary.dsn, autocommit=True) as connection:
                query = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
                until(lambda: connection.execute(query).fetchone(), "the standby follows")
                if synchronous:
                    connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                    connection.execute("SELECT pg_reload_conf()")
                    query = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
                    until(lambda: connection.execute(query).fetchone(), "it is in step")
            yield primary, standby
        finally:
            for server in (primary, standby):
                with suppress(AssertionError):
                    server.stop()


def add(store: Store, name: str, epoch: Epoch | None = None) -> int:
    """One event; its position."""
    project = ProjectId(name)
    change = Change(stream_of("project", project), 0, [Created(project, "")], META)
    return store.append([change], epoch=epoch)[0].position


def caught_up(primary: Server, standby: Server) -> None:
    """The standby has all that the primary has."""
    with psycopg.connect(primary.dsn) as one, psycopg.connect(standby.dsn) as other:
        row = one.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        until(
            lambda: (
                other.execute("SELECT pg_last_wal_replay_lsn() >= %s", row).fetchone() == (True,)
            ),
            "the standby has it",
        )


def promote(standby: Server) -> None:
    standby.run("pg_ctl", "-D", str(standby.data), "-w", "promote")


@pytest.mark.timeout(600)
def test_f09_asynchronous_what_is_lost_is_counted_and_nobody_leads_too_soon() -> None:
    with pair() as (primary, standby):
        store = Store(primary.dsn)
        old = store.take_role("scheduler", "one")
        kept = add(store, "kept", old)
        caught_up(primary, standby)
        standby.stop("fast")  # cut off
        lost = [add(store, f"lost-{number}") for number in range(20)]
        newest = store.take_role("scheduler", "two")  # lost as well
        primary.stop()
        store.close()
        standby.start()
        promote(standby)
        made = fail_over(standby.dsn, ("scheduler", "timers"), known_head=lost[-1])
        assert (made.head, made.lost) == (kept, len(lost))
        promoted = Store(standby.dsn)
        try:
            for stale in (old, newest):
                with pytest.raises(StaleWriter):
                    add(promoted, "stale", stale)
            with pytest.raises(Unavailable) as held:
                promoted.take_role("scheduler", "three")
            assert held.value.code == "failover"
            assert add(promoted, "taken-meanwhile") > lost[-1], (
                "people may submit, at new positions"
            )
            release(standby.dsn)
            next_leader = promoted.take_role("scheduler", "three")
            assert next_leader.number > EPOCHS
            assert next_leader.number > newest.number
            add(promoted, "after", next_leader)
            check_epochs(promoted.read(0))
        finally:
            promoted.close()


@pytest.mark.timeout(600)
def test_f09_synchronous_nothing_acknowledged_is_lost() -> None:
    with pair(synchronous=True) as (primary, standby):
        store = Store(primary.dsn)
        acknowledged = [add(store, f"acknowledged-{number}") for number in range(50)]
        primary.stop()
        store.close()
        promote(standby)
        made = fail_over(standby.dsn, ("scheduler",), known_head=acknowledged[-1])
        assert (made.head, made.lost) == (acknowledged[-1], 0)
        promoted = Store(standby.dsn)
        assert [item.position for item in promoted.read(0)] == acknowledged
        promoted.close()
