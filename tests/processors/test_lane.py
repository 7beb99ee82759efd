"""A read model in a process of its own: it follows, is started anew, and ends with its starter."""

from __future__ import annotations

from pathlib import Path

import psutil

from projections.catalogue import HEAVY
from tests.api.world import until
from tests.processors.small_cell import SmallCell
from tests.processors.test_processes import PATIENCE, Process, processors
from tests.projections.tables import positions


def lanes(process: Process) -> list[psutil.Process]:
    """The processes that it started."""
    return psutil.Process(process.running.pid).children()


def shows_all(cell: SmallCell) -> bool:
    """Whether every read model shows the whole log."""
    return set(positions(cell.connection).values()) == {cell.store.head()}


def test_a_lane_that_is_killed_is_started_anew_and_misses_nothing(
    cell: SmallCell, tmp_path: Path
) -> None:
    with processors(cell.dsn, tmp_path, "projector") as process:
        cell.submit("first")
        until(lambda: shows_all(cell), PATIENCE)
        killed = lanes(process)
        assert len(killed) == len(HEAVY)
        for lane in killed:
            lane.kill()
        cell.submit("second")
        until(lambda: shows_all(cell), PATIENCE)
        assert {lane.pid for lane in killed}.isdisjoint(lane.pid for lane in lanes(process))
    jobs = cell.connection.execute("SELECT id FROM view_jobs ORDER BY id").fetchall()
    assert [job["id"] for job in jobs] == ["first", "second"]


def test_a_lane_ends_with_its_starter_however_that_ends(cell: SmallCell, tmp_path: Path) -> None:
    with processors(cell.dsn, tmp_path, "projector") as process:
        cell.submit("first")
        until(lambda: shows_all(cell), PATIENCE)
        left = lanes(process)
    assert left, "the block ends by kill -9"
    psutil.wait_procs(left, PATIENCE)
    assert not any(lane.is_running() for lane in left)


def test_a_database_that_ends_its_sessions_costs_a_line_and_no_abort(
    cell: SmallCell, tmp_path: Path
) -> None:
    """Restarts of the database are no faults of ours: no traceback hides real ones."""
    with processors(cell.dsn, tmp_path) as process:
        cell.submit("first")
        until(lambda: shows_all(cell), PATIENCE)
        before = {lane.pid for lane in lanes(process)}
        cell.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until(lambda: before.isdisjoint(lane.pid for lane in lanes(process)), PATIENCE)
        cell.store.head()  # the test's own connections are replaced
        cell.submit("second")
        until(lambda: shows_all(cell), PATIENCE)
        assert process.says("terminating connection"), "it says why it starts anew"
        for fault in ("Traceback", "Fatal Python error"):
            assert not process.says(fault), process.said()
