"""A read model in a process of its own: it follows, is started anew, and ends with its starter."""

from __future__ import annotations

from pathlib import Path

import psutil

from domain.event import Recorded
from processors.ahead import Ahead
from projections.catalogue import HEAVY
from tests.api.world import until
from tests.processors.small_cell import SmallCell
from tests.processors.test_processes import PATIENCE, Process, processors
from tests.projections.histories import SEEDS, Portions, history
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


class Flaky(Portions):
    """A history whose every other reading fails."""

    turn = 0

    def read(self, after: int, limit: int) -> list[Recorded]:
        self.turn += 1
        if self.turn % 2:
            raise OSError("the database is away")
        return super().read(after, limit)


def test_reading_ahead_reads_the_same() -> None:
    events = history(SEEDS[0])
    for stream in (Portions(events, [7]), Portions(events, [7, 3, 7, 7])):
        ahead, position, found = Ahead(stream), 0, list[Recorded]()
        while batch := ahead.read(position, 7):
            position = batch[-1].position
            found += batch
        ahead.close()
        assert found == list(events)


def test_what_was_read_ahead_is_for_whoever_goes_on_from_there() -> None:
    """Read models that began anew ask from the beginning."""
    events = history(SEEDS[0])
    ahead = Ahead(Portions(events, [7]))
    assert [*ahead.read(0, 7)] == [*events[:7]]
    assert [*ahead.read(0, 7)] == [*events[:7]]
    assert [*ahead.read(events[2].position, 7)] == [*events[3:10]]
    ahead.close()


def test_what_failed_ahead_is_read_anew() -> None:
    events = history(SEEDS[0])
    stream = Flaky(events, [7])
    stream.turn = 1
    ahead = Ahead(stream)
    first = ahead.read(0, 7)  # and reads ahead, which fails
    assert ahead.read(first[-1].position, 7) == [*events[7:14]]
    ahead.close()
