"""Fixtures shared by all tests: a real Postgres, a database of its own for each test."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from domain.scheduling.snapshot import RECEIPTS
from infra import codec
from infra.embedded import postgres
from infra.follow import Bell, PostgresStream
from infra.migrations import migrate
from infra.store import Store
from tests import real_kafka
from tests.published import CheckedEncoder
from tests.real_parts import need
from tests.replayed import check

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def published() -> Iterator[None]:
    """No test writes an event that is not as the committed AsyncAPI document says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_encoder", CheckedEncoder())
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The DSN of a Postgres server for this test process, with a migrated template database."""
    with (
        tempfile.TemporaryDirectory(prefix="compute-pg-") as folder,
        postgres(Path(folder) / "pg") as running,
    ):
        dsn = running.dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_cell")
        migrate(_database(dsn, "template_cell"))
        yield dsn


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """The DSN of a fresh, migrated database."""
    name = f"cell_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_cell")
        dsn = _database(server, name)
        yield dsn
        _decide_anew(dsn)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _decide_anew(dsn: str) -> None:
    """Replay what the test's scheduler decided, if it decided anything."""
    with psycopg.connect(dsn) as connection:
        if not connection.execute(
            "SELECT 1 FROM stored_events WHERE originator_id = %s LIMIT 1", (RECEIPTS,)
        ).fetchone():
            return
    with closing(Store(dsn)) as store, closing(PostgresStream(store, Bell(dsn))) as stream:
        check(stream.read)


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    """The event store of a fresh cell."""
    store = Store(dsn)
    yield store
    store.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[real_kafka.Broker]:
    """A real Kafka for this test process; a test that kills it starts it again."""
    need(not real_kafka.missing(), real_kafka.missing())
    with real_kafka.kafka() as running:
        yield running


def _database(dsn: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, dbname=name)
