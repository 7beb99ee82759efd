"""F06: the container engine is killed, or restarted, under running jobs; nothing false is told."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from agents import choose, settings
from agents.runner import Found, SeatSpec
from agents.seats import SeatFolder, SeatRecord, SeatStore
from agents.wire import Order, SeatKey
from domain.allocation.events import Granted, SeatEnded, SeatLost, SeatStarted
from domain.allocation.seat import Outcome
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_history, check_views
from tests.real_docker import IMAGE, Engine, engine, no_busybox
from tests.real_parts import need

AWAY = "does not answer"


@dataclass
class World:
    """A cell whose agent runs containers, and their engine."""

    cell: RealCell
    engine: Engine

    def submit(self, name: str, script: str, **fields: Any) -> str:
        command = ["/bin/sh", "-c", script]
        return self.cell.submit(name, command=command, docker_image=IMAGE, **fields)

    def runs(self, *jobs: str) -> None:
        """Wait until they run and printed something."""
        for job in jobs:
            until(partial(self._runs, job), "it runs")

    def _runs(self, job: str) -> bool:
        return self.cell.job(job).get("phase") == "running" and bool(self.cell.log(job))

    def waits(self, seats: int = 1) -> None:
        """Wait until the agent noticed of so many seats that the engine is away."""
        log = self.cell.folder / "agent.log"
        until(lambda: log.read_text().count(AWAY) >= seats, "the agent noticed")

    def work(self, name: str) -> Path:
        """The folder of the job of that name, as this machine sees it."""
        seats = self.cell.folder / "agent-1" / "seats"

        def look() -> Path | None:
            folders = (SeatFolder(each).work for each in seats.iterdir())
            return next((folder for folder in folders if (folder / name).exists()), None)

        found: Path = until(look, f"{name} runs")
        return found

    def main_process(self, name: str) -> psutil.Process:
        """The job's container's first process, which ends with its container."""
        [found] = [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "docker-init"
            and f"touch {name};" in " ".join(process.info["cmdline"] or ())
        ]
        return found

    def told(self, kind: type[Any]) -> list[Any]:
        """The events of a kind so far."""
        events = self.cell.store.read(0, 1_000_000)
        return [item.event for item in events if isinstance(item.event, kind)]


@pytest.fixture
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of this test; the parameter says whether containers outlive it."""
    need(os.geteuid() == 0, "only root can start a Docker engine")
    need(shutil.which("dockerd") is not None, "docker.io is not installed")
    need(not no_busybox(), no_busybox())
    with (
        tempfile.TemporaryDirectory(prefix="engine-") as folder,
        engine(Path(folder), live_restore=request.param) as running,
    ):
        yield running


@pytest.fixture
def world(dsn: str, own_engine: Engine, tmp_path: Path) -> Iterator[World]:
    """Everything runs."""
    with closing(RealCell(dsn, tmp_path)) as cell:
        cell.runners, cell.engine = "docker", own_engine.host
        for name in ("api", "projector scheduler timers", "agent"):
            cell.start(name)
        until(cell.answers, "the API answers")
        yield World(cell, own_engine)


def wait_for(name: str) -> str:
    return f"while [ ! -e {name} ]; do sleep 0.05; done"


def waiting(name: str, end: str) -> str:
    """A job that says it runs, waits to be let go, and ends so."""
    return f"touch {name}; echo begun; {wait_for('go')}; echo over; {end}"


outlived_or_not = partial(pytest.mark.parametrize, "own_engine", indirect=True)


@outlived_or_not([True])
def test_f06_seats_that_outlive_their_engine_go_on_and_end_as_they_do(world: World) -> None:
    cell = world.cell
    talks = f"touch goes-on; echo begun; {wait_for('talk')}; echo on; touch told; {wait_for('go')}"
    jobs = {
        "goes-on": world.submit("goes-on", f"{talks}; exit 5"),
        "ends": world.submit("ends", waiting("ends", "exit 7")),
        "unwanted": world.submit("unwanted", waiting("unwanted", "exit 0")),
    }
    world.runs(*jobs.values())
    processes = {name: world.main_process(name) for name in jobs}
    work = {name: world.work(name) for name in jobs}
    world.engine.kill()
    world.waits(3)
    late = world.submit("late", "echo late")
    (work["goes-on"] / "talk").touch()
    until((work["goes-on"] / "told").exists, "it printed")
    (work["ends"] / "go").touch()
    processes["ends"].wait(20)
    cell.post(f"/jobs/{jobs['unwanted']}/cancel")
    processes["unwanted"].wait(20)  # although its engine is away
    world.waits(4)
    phases = [cell.job(job)["phase"] for job in jobs.values()]
    assert phases == ["running", "running", "stopping"]
    assert cell.job(late)["phase"] == "starting"
    assert (world.told(SeatEnded), world.told(SeatLost)) == ([], [])
    assert processes["goes-on"].is_running()

    world.engine.start()
    assert cell.ended(jobs["ends"])["exit_code"] == 7
    assert cell.ended(jobs["unwanted"])["phase"] == "cancelled"
    assert cell.ended(late)["phase"] == "succeeded"
    assert processes["goes-on"].is_running()
    (work["goes-on"] / "go").touch()
    ended = cell.ended(jobs["goes-on"])
    assert (ended["phase"], ended["exit_code"]) == ("failed", 5)
    assert cell.log(jobs["goes-on"]) == "begun\non\n", "what it printed meanwhile is there"
    assert len(world.told(SeatStarted)) == len(world.told(Granted)) == 4, "each ran once"
    outcomes = Counter(event.outcome for event in world.told(SeatEnded))
    assert outcomes == {Outcome.EXITED: 3, Outcome.STOPPED: 1}
    check_history(cell.store)
    check_views(cell.dsn, cell.store)


@outlived_or_not([False])
def test_f06_a_seat_that_its_engine_ends_is_lost_and_its_job_runs_again(world: World) -> None:
    """Its exit code says nothing: a job that ends well when asked to has not done its work."""
    cell = world.cell
    job = world.submit("polite", "trap 'exit 0' TERM; " + waiting("polite", "exit 3"))
    for attempt, restart in enumerate((world.engine.kill, world.engine.stop), start=1):
        until(lambda n=attempt: len(world.told(SeatStarted)) == n, "it runs")  # type: ignore[misc]  # bound now
        world.runs(job)
        process = world.main_process("polite")
        restart()
        world.waits(attempt)
        assert len(world.told(SeatEnded)) == attempt - 1
        world.engine.start()
        assert not process.is_running()
        until(lambda n=attempt: len(world.told(SeatEnded)) == n, "its end is told")  # type: ignore[misc]  # bound now
    until(lambda: cell.job(job).get("attempt") == 3, "it runs again")
    (world.work("polite") / "go").touch()
    assert cell.ended(job)["exit_code"] == 3
    *lost, last = world.told(SeatEnded)
    assert [(end.outcome, end.exit_code) for end in lost] == [(Outcome.LOST, None)] * 2
    assert all("engine" in end.detail for end in lost)
    assert (last.outcome, last.exit_code) == (Outcome.EXITED, 3)
    check_history(cell.store)
    check_views(cell.dsn, cell.store)


@outlived_or_not([True])
def test_f06_a_kill_and_an_agent_of_after_wait_for_the_engine(
    own_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that may not signal the container's processes itself leaves it to the engine."""
    monkeypatch.setenv("DOCKER_HOST", own_engine.host)
    store, exits = SeatStore(tmp_path), queue.SimpleQueue[SeatKey]()
    given = settings.read(["--url", "http://127.0.0.1:1", "--data", str(tmp_path)], {})
    key = SeatKey("alloc-1", 0)
    order = Order(key.allocation, "job-1", 1, key.rank, "run", started=False)
    folder = store.create(key, SeatRecord(order, "node-1", "boot-1", "docker", 0))
    spec = SeatSpec(key, "node-1", folder, ("/bin/sh", "-c", "sleep 600"), image=IMAGE)
    first = choose.runners(given, exits.put)["docker"]
    first.start(spec)
    own_engine.kill()

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", forbidden)
    with ThreadPoolExecutor(1) as pool:
        after = pool.submit(lambda: choose.runners(given, exits.put))
        first.kill(key)
        assert exits.empty()
        own_engine.start()
        assert exits.get(timeout=20) == key
        assert first.result(key).code == 128 + signal.SIGKILL
        second = after.result(20)["docker"]
    assert second.adopt(spec) is Found.ENDED
    first.release(key)
    for runner in (first, second):
        runner.close()
