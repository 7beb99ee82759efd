"""The services' role: what it may not do to the log, and that all of the platform works in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from infra.follow import Bell, PostgresStream
from infra.roles import SERVICE, grant
from infra.store import Change, Store
from processors.projector import connect
from processors.rebuilder import Rebuilder
from projections import rebuilds
from projections.catalogue import VIEWS
from projections.tables import prepare
from tests.api.world import until
from tests.infra.test_store import CREATED, META, STREAM
from tests.processors.small_cell import small_cell
from tests.processors.test_processes import PATIENCE, processors
from tests.processors.test_projector import create, shown
from tests.processors.test_witness import sign

REFUSED = [
    "UPDATE stored_events SET topic = 'x'",
    "UPDATE stored_events SET recorded_at = 0 WHERE notification_id = 1",
    "DELETE FROM stored_events",
    "TRUNCATE stored_events",
    "DROP TABLE stored_events",
    "DROP INDEX stored_events_notification_id_idx",
    "ALTER TABLE stored_events DISABLE TRIGGER ALL",
    "ALTER TABLE stored_events ADD COLUMN x int",
    "ALTER TABLE stored_events RENAME TO x",
    "ALTER TABLE stored_events OWNER TO CURRENT_USER",
    "ALTER SEQUENCE stored_events_notification_id_seq RESTART",
    "SELECT setval('stored_events_notification_id_seq', 1)",
    "CREATE TRIGGER t AFTER INSERT ON stored_events EXECUTE FUNCTION tsvector_update_trigger()",
    "CREATE RULE r AS ON INSERT TO stored_events DO INSTEAD NOTHING",
    "CREATE POLICY p ON stored_events",
    "INSERT INTO stored_events VALUES ('s/x', 1, 'x', '{}', 3, 0)",
    "BEGIN; LOCK TABLE stored_events IN ACCESS EXCLUSIVE MODE",
    "SELECT 1 FROM stored_events FOR UPDATE",
    "DELETE FROM tree_heads",
    "UPDATE tree_heads SET line = ''",
    "UPDATE tree_tiles SET root = ''",
    "TRUNCATE tree_tiles",
    "DELETE FROM idempotency",
    "UPDATE idempotency SET status = 200",
    "INSERT INTO migrations (name, checksum) VALUES ('x', 'x')",
    "ALTER FUNCTION assert_epoch RENAME TO x",
    "GRANT UPDATE ON stored_events TO CURRENT_USER; UPDATE stored_events SET topic = 'x'",
    "SET session_replication_role = replica",
    "SET ROLE pg_database_owner",
    "CREATE ROLE other SUPERUSER",
    "ALTER SYSTEM SET fsync = off",
    "COPY stored_events TO PROGRAM 'true'",
]


@pytest.fixture
def service(dsn: str) -> Iterator[str]:
    """The services' DSN of a fresh cell."""
    yield grant(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {SERVICE}".encode())


@pytest.mark.parametrize("statement", REFUSED)
def test_the_services_role_may_not(service: str, statement: str) -> None:
    with closing(Store(service)) as store:
        [recorded] = store.append([Change(STREAM, 0, [CREATED], META)])
        with (
            psycopg.connect(service, autocommit=True) as connection,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())
        assert store.read(0) == [recorded]


def test_whole_processes_work_in_it(service: str, tmp_path: Path) -> None:
    """Views are made, projected, rebuilt and exchanged; leaders lead; the log is witnessed."""
    with small_cell(service) as cell, processors(service, tmp_path) as process:
        create(cell, "first")
        cell.register("n1")
        cell.submit("job")
        until(lambda: shown(cell) == {"first"}, PATIENCE)
        until(
            lambda: any(e.stream == "job/job" and e.version > 1 for e in cell.store.read(0)),
            PATIENCE,
        )
        for view in VIEWS:
            rebuilds.request(cell.connection, view.name, "test")
        until(lambda: all(_done(cell.connection, view.name) for view in VIEWS), PATIENCE)
        assert not process.says("permission denied")
        assert not process.says("failed and starts anew")
        assert sign(service, cell.store, tmp_path / "witness") >= 3


def _done(connection: psycopg.Connection[dict[str, object]], view: str) -> bool:
    [found] = rebuilds.find(connection, view)
    return found.rebuild is not None and found.rebuild.finished_at is not None


def test_a_database_from_before_goes_over(dsn: str) -> None:
    """Read models that the owner made become the services'; a second grant changes nothing."""
    with closing(connect(dsn)) as connection:
        prepare(connection)
    services = grant(dsn)
    assert grant(dsn) == services
    with closing(connect(services)) as connection, closing(Store(services)) as store:
        store.append([Change(STREAM, 0, [CREATED], META)])
        stream = PostgresStream(store, Bell(services))
        rebuilds.request(connection, VIEWS[0].name, "test")
        while Rebuilder(connection, stream).step():
            pass
        assert _done(connection, VIEWS[0].name)
        stream.close()
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"DROP OWNED BY {SERVICE}".encode())
