"""Rebuilds: the new table equals the old one row by row, whatever goes on meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from infra import quarantine
from processors.projector import Connection, Projector, connect
from processors.rebuilder import Rebuilder, beside
from projections import rebuilds
from projections.catalogue import VIEWS
from projections.tables import prepare
from tests.projections.histories import Portions, history
from tests.projections.tables import dump, folded, parsed, positions, project_all

LONG = history(6)  # a long one
NAMES = [view.name for view in VIEWS]


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    with closing(connect(dsn)) as connection:
        prepare(connection)
        yield connection


def indexes(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'view_%' ORDER BY 1"
    ).fetchall()
    return [(row["indexname"], row["indexdef"]) for row in rows]


def finished(connection: Connection, view: str) -> bool:
    [found] = rebuilds.find(connection, view)
    assert found.rebuild is not None
    assert found.rebuild.error is None
    return found.rebuild.finished_at is not None


def test_a_rebuilt_view_equals_the_live_one_row_by_row(dsn: str, connection: Connection) -> None:
    events = LONG
    project_all(dsn, Portions(events))
    before, names, reached = dump(connection), indexes(connection), positions(connection)
    for name in NAMES:
        rebuilds.request(connection, name, "ada")
    builder = Rebuilder(connection, Portions(events))
    while builder.step():
        pass
    assert all(finished(connection, name) for name in NAMES)
    assert (dump(connection), indexes(connection)) == (before, names)
    assert positions(connection) == reached
    assert parsed(before) == folded(events)


def test_what_was_spoilt_is_right_after_a_rebuild(dsn: str, connection: Connection) -> None:
    events = LONG
    project_all(dsn, Portions(events))
    right = dump(connection)
    connection.execute("UPDATE view_jobs SET priority = priority + 1")
    connection.execute("DELETE FROM view_seats")
    for name in ("jobs", "seats"):
        rebuilds.request(connection, name, "ada")
    builder = Rebuilder(connection, Portions(events))
    while builder.step():
        assert dump(connection)["queue"] == right["queue"]
    assert dump(connection) == right


@pytest.mark.parametrize("live", [0, 1, 500])
def test_the_projector_goes_on_before_during_and_after(
    dsn: str, connection: Connection, live: int
) -> None:
    """At the exchange the live table is behind the new one or ahead; nothing is folded twice."""
    events = LONG
    assert len(events) > 600
    project_all(dsn, Portions(events[:live]))
    for name in NAMES:
        rebuilds.request(connection, name, "ada")
    projector = Projector(connection, Portions(events, [7, 90]))
    builder = Rebuilder(connection, Portions(events), most=400)
    going = True
    while going:
        going = builder.step()
        projector.step()
    while projector.step():
        pass
    assert parsed(dump(connection)) == folded(events)
    assert set(positions(connection).values()) == {events[-1].position}


def test_a_rebuild_goes_on_after_the_end_of_its_process(dsn: str, connection: Connection) -> None:
    events = LONG
    project_all(dsn, Portions(events))
    before = dump(connection)
    rebuilds.request(connection, "jobs", "ada")
    steps = 0
    while not finished(connection, "jobs"):
        with closing(connect(dsn)) as another:
            Rebuilder(another, Portions(events), most=150).step()
        steps += 1
    assert steps > 2
    assert dump(connection) == before


def test_a_fold_that_fails_leaves_the_table_in_use_and_says_why(
    dsn: str, connection: Connection
) -> None:
    events = LONG
    project_all(dsn, Portions(events))
    before = dump(connection)

    def broken(row: object, key: object, event: object) -> None:
        raise ValueError("cannot be folded")

    views = [replace(view, fold=broken) if view.name == "jobs" else view for view in VIEWS]
    rebuilds.request(connection, "jobs", "ada")
    builder = Rebuilder(connection, Portions(events), views)
    assert builder.step()
    while builder.step():
        pass
    [found] = rebuilds.find(connection, "jobs")
    assert found.rebuild is not None
    assert found.rebuild.error is not None
    assert found.rebuild.error.endswith(": ValueError: cannot be folded")
    assert quarantine.find(connection) == []
    assert dump(connection) == before
    table = beside(VIEWS[0]).table()
    assert connection.execute("SELECT to_regclass(%s) AS t", (table,)).fetchone() == {"t": None}

    rebuilds.request(connection, "jobs", "bob")
    builder = Rebuilder(connection, Portions(events))
    while builder.step():
        pass
    assert finished(connection, "jobs")


def test_asking_again_while_it_goes_on_changes_nothing(connection: Connection) -> None:
    rebuilds.request(connection, "jobs", "ada")
    connection.execute("UPDATE view_rebuilds SET position = 7")
    rebuilds.request(connection, "jobs", "bob")
    [found] = rebuilds.find(connection, "jobs")
    assert found.rebuild is not None
    assert (found.rebuild.position, found.rebuild.requested_by) == (7, "ada")
