"""`python -m processors NAME...`: real processes that follow, fail, are killed and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.allocation.events import Granted
from domain.job import job as jobs
from domain.job.events import StopCause
from processors.scheduler import ROLE
from projections import rebuilds
from tests.api.world import until
from tests.processors.small_cell import SmallCell, settle
from tests.processors.test_projector import POISON, create, reached, rename, shown

PATIENCE = 60.0


class Process:
    """A running `python -m processors`."""

    def __init__(self, dsn: str, names: tuple[str, ...], output: Path) -> None:
        self._output = output
        env = {k: v for k, v in os.environ.items() if k != "COMPUTE_KAFKA"}
        with output.open("wb") as file:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "processors", *names],
                env={**env, "COMPUTE_DATABASE_URL": dsn, "PYTHONFAULTHANDLER": "1"},
                stdout=file,
                stderr=file,
            )
        until(lambda: self.says("running: "), PATIENCE)

    def said(self) -> str:
        """All it said."""
        return self._output.read_text()

    def says(self, text: str) -> int:
        """How often it said this."""
        return self.said().count(text)

    def last_words(self) -> str:
        """All it said, and where each of its threads stood at its end."""
        self.running.send_signal(signal.SIGABRT)
        self.running.wait()
        return self.said()

    def kill(self) -> None:
        """kill -9."""
        self.running.kill()
        self.running.wait()


@contextmanager
def processors(dsn: str, folder: Path, *names: str) -> Iterator[Process]:
    """The named processes until the end of the block."""
    process = Process(dsn, names, folder / f"{len(list(folder.iterdir()))}.log")
    try:
        yield process
    except BaseException:
        print(process.last_words())  # with the failure, pytest shows what is printed
        raise
    finally:
        process.kill()


def test_the_projector_goes_on_where_it_was_killed(cell: SmallCell, tmp_path: Path) -> None:
    with processors(cell.dsn, tmp_path, "projector"):
        create(cell, "first")
        until(lambda: shown(cell) == {"first"}, PATIENCE)
    create(cell, "second")
    with processors(cell.dsn, tmp_path, "projector"):
        until(lambda: shown(cell) == {"first", "second"}, PATIENCE)
        until(lambda: reached(cell) == {cell.store.head()}, PATIENCE)  # lanes are not in step


def test_an_unreadable_event_holds_its_stream_back_until_a_retry(
    cell: SmallCell, tmp_path: Path
) -> None:
    """The process goes on, and says so once; a retry takes the stream up where it is mended."""
    bad = create(cell, "bad")
    create(cell, "after")
    rename(cell, bad, POISON)
    with processors(cell.dsn, tmp_path, "projector", "rebuilder") as process:
        until(lambda: shown(cell) == {"after"}, PATIENCE)
        assert process.says(f"projects holds back stream project/bad at position {bad}") == 1
        assert not process.says("failed")
        rename(cell, bad, "project.created.v1")
        rebuilds.request(cell.connection, "projects", "ada", retry=True)
        until(lambda: shown(cell) == {"bad", "after"}, PATIENCE)


def test_another_scheduler_takes_over_from_a_killed_one(cell: SmallCell, tmp_path: Path) -> None:
    cell.register("node-1")
    with (
        processors(cell.dsn, tmp_path, ROLE) as one,
        processors(cell.dsn, tmp_path, ROLE) as other,
    ):
        cell.submit("a")
        until(lambda: cell.phase("a") == "starting", PATIENCE)
        by_pid = {p.running.pid: p for p in (one, other)}
        by_pid[leader(cell)].kill()
        cell.submit("b")
        until(lambda: cell.phase("b") == "starting", PATIENCE)
        assert leader(cell) in by_pid
        assert by_pid[leader(cell)].running.poll() is None
    epochs = [r.epoch for r in cell.store.read(0) if isinstance(r.event, Granted)]
    assert epochs == [1, 2]


def test_a_scheduler_whose_session_is_lost_leads_no_more(cell: SmallCell, tmp_path: Path) -> None:
    """It does not know, and goes on with its epoch: its next append is refused, and it ends."""
    cell.register("node-1")
    with processors(cell.dsn, tmp_path, ROLE) as one:
        cell.submit("a")
        until(lambda: cell.phase("a") == "starting", PATIENCE)
        cell.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND objid = %s",
            (zlib.crc32(f"leader:{ROLE}".encode()),),
        )
        settle(cell.scheduler())  # another takes the role
        cell.submit("b")
        until(lambda: one.says("another leader took over"), PATIENCE)
        until(lambda: cell.phase("b") == "starting", PATIENCE)  # having taken the role again
    assert len(cell.happened(Granted)) == 2


def leader(cell: SmallCell) -> int:
    """The process id of whoever took the role of the scheduler last."""
    row = cell.connection.execute("SELECT holder FROM leaders WHERE role = %s", (ROLE,)).fetchone()
    assert row is not None
    return int(row["holder"].rpartition(":")[2])


def test_without_names_everything_but_the_relay_runs(cell: SmallCell, tmp_path: Path) -> None:
    """A job is placed, shown, and stopped for good when its grace is over."""
    with processors(cell.dsn, tmp_path) as process:
        assert process.says('"running: projector, scheduler, timers, rebuilder, retention"')
        cell.register("node-1")
        cell.submit("a")
        until(lambda: cell.phase("a") == "starting", PATIENCE)
        cell.decide("a", lambda job: jobs.stop(job, StopCause.CANCEL, cell.now()))
        until(lambda: cell.job("a").grace_expired, PATIENCE)
        process.running.send_signal(signal.SIGTERM)
        assert process.running.wait(PATIENCE) == -signal.SIGTERM
