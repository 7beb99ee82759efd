"""A database that is there and cannot: bounded waits, a plain refusal, nothing recorded twice."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing

import psycopg
import pytest

from domain.errors import Unavailable
from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra import store as stores
from infra.follow import Bell, PostgresStream
from infra.store import Change, Store, stream_of
from tests.api.conftest import MakeWorld
from tests.api.conftest import new_world as new_world
from tests.api.problem import check_problem

META = Meta("ada", "command:1", "trace-1", "ml")
CHANGE = Change(stream_of("project", "ml"), 0, [Created(ProjectId("ml"), "")], META)


def test_a_lock_that_is_held_long_is_waited_for_a_while(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LOCK_TIMEOUT_SECONDS", 1)
    with closing(Store(dsn)) as store:
        key = store._recorder._orders[0]
        with psycopg.connect(dsn) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
            with pytest.raises(Unavailable):
                store.append([CHANGE])
        assert store.head() == 0
        assert len(store.append([CHANGE])) == 1


@pytest.mark.parametrize(
    "state",
    [
        "54000",  # too many notifications in the queue
        "40001",  # could not serialise
        "40P01",  # deadlock
        "55P03",  # a lock held too long
        "53100",  # disk full
        "53300",  # too many connections
        "57P03",  # starting up
        "25006",  # a standby
    ],
)
def test_what_may_pass_is_said_to_be_unavailable(store: Store, dsn: str, state: str) -> None:
    epoch = store.take_role("tester", "test")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION assert_epoch(wanted_role text, given bigint) RETURNS void"
            f" LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}';"
            " END $$".encode()
        )
    with pytest.raises(Unavailable):
        store.append([CHANGE], epoch=epoch)
    assert store.head() == 0
    assert len(store.append([CHANGE])) == 1, "the next one is as good as before"


def test_a_channel_that_cannot_be_listened_to_leaves_the_poll(
    store: Store, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; what is recorded is read all the same."""
    with (
        caplog.at_level(logging.WARNING),
        closing(PostgresStream(store, Bell(dsn, "no such channel"))) as stream,
    ):
        for _ in range(3):
            stream.wait(0.01)
        [recorded] = store.append([CHANGE])
        stream.wait(0.01)
        assert stream.read(0, 10) == [recorded]
    assert len([r for r in caplog.records if "only the poll" in r.message]) == 1


def test_an_exhausted_pool_answers_503_and_recovers(new_world: MakeWorld) -> None:
    world = new_world(pool_size=2)
    project = world.project()
    body = {"name": "j", "project_id": project, "command": ["true"]}
    head = world.store.head()
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(world.cell.connection())
        for path in ("/jobs", "/health"):
            answer = world.admin.get(path)
            check_problem(answer, 503, "database_unavailable")
            assert answer.headers["retry-after"]
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(world.cell.store._datastore.get_connection())
        check_problem(world.admin.post("/jobs", body, key="one"), 503, "database_unavailable")
    assert world.store.head() == head
    first = world.admin.post("/jobs", body, key="one")
    again = world.admin.post("/jobs", body, key="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
