"""Read models that hold the others up: they go on apart, and memory stays small."""

from __future__ import annotations

import itertools
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from domain.event import Recorded
from infra import quarantine
from infra.follow import Bell, PostgresStream
from infra.store import Store
from processors import projector
from processors.lanes import WINDOW_SECONDS, Lanes, holds_up
from processors.projector import Projector, connect
from projections import projects
from projections.catalogue import VIEWS
from projections.tables import prepare
from projections.view import Key, View
from tests.api.world import until
from tests.processors.kafka_cell import add
from tests.processors.small_cell import SmallCell
from tests.processors.test_projector import create
from tests.projections.tables import positions

MANY = 25
PATIENCE = 60.0


class Ended(Exception):
    """The test is over."""


class Running:
    """Lanes on a cell, in a thread; `clock` is what they take for time."""

    def __init__(self, cell: SmallCell, views: Sequence[View[Any]]) -> None:
        self.clock = 0.0
        self.over = threading.Event()
        self._cell = cell
        self._lanes = Lanes(self._open, views)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._lanes.run()
        except Ended:
            return

    @contextmanager
    def _open(self, views: Sequence[View[Any]]) -> Iterator[Projector]:
        running = self

        class Few(PostgresStream):
            def read(self, after: int, limit: int) -> list[Recorded]:
                if running.over.is_set():
                    raise Ended
                return super().read(after, min(limit, 5))

            def wait(self, seconds: float = 0.05) -> None:
                super().wait(min(seconds, 0.05))

        dsn = self._cell.dsn
        with (
            closing(Store(dsn)) as store,
            closing(connect(dsn)) as connection,
            closing(Few(store, Bell(dsn))) as stream,
        ):
            yield Projector(connection, stream, views, lambda: self.clock)

    def end(self) -> None:
        """Stop and wait for it."""
        self.over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def behind(cell: SmallCell) -> set[str]:
    """The read models that have not come to the end of the log."""
    head = cell.store.head()
    return {name for name, position in positions(cell.connection).items() if position < head}


def test_who_holds_the_others_up() -> None:
    assert holds_up({"a": 10.0, "b": 1.0}) == "a"
    assert holds_up({"a": 5.0, "b": 2.0, "c": 3.0}) is None, "no more than the others together"
    assert holds_up({"a": WINDOW_SECONDS / 3, "b": 0.1}) is None, "too early to tell"
    assert holds_up({"a": 10.0}) is None, "there is nobody to hold up"


def test_a_slow_read_model_lets_the_others_go_ahead(cell: SmallCell) -> None:
    """Each of its folds takes a second, then it stands altogether: the others come to the end."""
    go = threading.Event()

    def fold(row: Any, key: Key, recorded: Recorded) -> Any:
        running.clock += 1
        if threading.current_thread().name == "projector-slow":
            assert go.wait(PATIENCE)
        return projects.VIEW.fold(row, key, recorded)

    views = (*VIEWS, replace(projects.VIEW, name="slow", fold=fold))
    prepare(cell.connection, views)
    for n in range(MANY):
        create(cell, f"p-{n}")
    running = Running(cell, views)
    try:
        until(lambda: behind(cell) == {"slow"})
        assert positions(cell.connection)["slow"] > 0, "it was in step before"
        create(cell, "later")
        until(lambda: behind(cell) == {"slow"})
        go.set()
        until(lambda: behind(cell) == set(), PATIENCE)
        rows = "SELECT id FROM view_{} ORDER BY id"
        found = [
            cell.connection.execute(rows.format(name).encode()).fetchall()
            for name in ("slow", "projects")
        ]
        assert found[0] == found[1]
        assert len(found[0]) == MANY + 1
    finally:
        go.set()
        running.end()


def test_a_table_that_fails_stops_its_own_read_model_only(cell: SmallCell) -> None:
    cell.connection.execute("ALTER TABLE view_projects RENAME TO away")
    create(cell, "one")
    running = Running(cell, VIEWS)
    try:
        until(lambda: behind(cell) == {"projects"})
        assert quarantine.find(cell.connection) == []
        cell.connection.execute("ALTER TABLE away RENAME TO view_projects")
        until(lambda: behind(cell) == set(), PATIENCE)
    finally:
        running.end()


def test_a_lost_connection_is_no_read_models_fault(cell: SmallCell) -> None:
    """Nobody is set apart for it: the projector fails as a whole and starts anew."""
    numbers = itertools.count()

    def fold(row: Any, key: Key, recorded: Recorded) -> Any:
        if next(numbers) == 0:
            with psycopg.connect(cell.dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (own.info.backend_pid,))
        return projects.VIEW.fold(row, key, recorded)

    views = [v if v.name != "projects" else replace(v, fold=fold) for v in VIEWS]
    create(cell, "one")
    with closing(connect(cell.dsn)) as own, pytest.raises(psycopg.OperationalError):
        Projector(own, cell.stream, views).step()
    cell.project()
    assert set(positions(cell.connection).values()) == {cell.store.head()}


def test_a_long_backlog_is_projected_in_little_memory(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch at a time is held, however much there is."""
    monkeypatch.setattr(projector, "BATCH", 100)
    for batch in range(6):
        add(cell.store, batch * 500, 500, text="x" * 4000)
    tracemalloc.start()
    try:
        cell.project()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(positions(cell.connection).values()) == {cell.store.head()}
    assert peak < 6 << 20, f"{peak} bytes of a backlog of 12 MB"
