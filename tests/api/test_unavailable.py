"""The database goes away and comes back; read models stand still: said plainly, nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from infra.embedded import Embedded, postgres
from infra.migrations import migrate
from tests.api.problem import check_problem
from tests.api.world import PATIENCE, World, until
from tests.demo.test_doors import free_port


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A Postgres server of this test's own."""
    with postgres(tmp_path_factory.mktemp("own") / "pg") as server:
        migrate(server.dsn)
        yield server


def take_away(server: Embedded) -> None:
    """Kill the database and all its processes."""
    pid = server._server.get_pid()
    assert pid is not None
    children = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs(children, PATIENCE)


def test_while_the_database_is_away_everything_says_so_and_then_recovers(
    database: Embedded,
) -> None:
    world = World(database.dsn)
    try:
        project = world.project()
        job = world.submit(project)
        body: dict[str, Any] = {"name": "j", "project_id": project, "command": ["true"]}
        followed: list[str] = []
        follower = threading.Thread(target=lambda: follow(world, job, followed))
        follower.start()
        until(lambda: followed)
        take_away(database)
        check_problem(world.admin.post("/jobs", body, key="k"), 503, "database_unavailable")
        check_problem(world.admin.get(f"/jobs/{job}"), 503, "database_unavailable")
        check_problem(world.admin.get("/health"), 503)
        check_problem(world.bearer("stranger").get("/whoami"), 503)
        assert database.keep()
        until(lambda: world.admin.get("/health").status_code == 200)
        assert world.admin.post("/jobs", body, key="k").status_code == 201
        assert world.admin.post("/jobs", body, key="k").headers["idempotent-replay"] == "true"
        assert [r.event.topic for r in world.store.read(0)].count("job.submitted.v1") == 2
        assert follower.is_alive(), "who follows waits it out"
        world.caught_up()  # read models may have lost their last moments: they are folded anew
        assert world.admin.post(f"/jobs/{job}/cancel").status_code == 202
        follower.join(PATIENCE)
        assert followed == ["retry: 1000", "event: end"]
    finally:
        world.close()


def follow(world: World, job: str, said: list[str]) -> None:
    """Follow a job's output until the server ends it."""
    with world.admin.http.stream(
        "GET", f"/jobs/{job}/logs?follow=true", headers={"Accept": "text/event-stream"}
    ) as answer:
        said.extend(x for x in answer.iter_lines() if x.startswith(("retry", "event")))


def test_a_server_that_starts_before_its_database_waits_for_it(database: Embedded) -> None:
    take_away(database)
    port = str(free_port())
    env = {**os.environ, "COMPUTE_DATABASE_URL": database.dsn, "COMPUTE_PORT": port}
    with subprocess.Popen(
        [sys.executable, "-m", "api"], env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "the database does not answer" in process.stderr.readline()
        database.keep()
        until(lambda: healthy(port), 3 * PATIENCE)
        process.terminate()
        process.communicate(timeout=PATIENCE)


def healthy(port: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        url = f"http://127.0.0.1:{port}/api/v1/health"
        return httpx.get(url, trust_env=False).status_code == 200
    return False


def test_read_models_that_stand_still_are_said_to(world: World) -> None:
    project = world.project()
    with world.projector_paused():
        answer = world.admin.post(
            "/jobs", {"name": "j", "project_id": project, "command": ["true"]}
        )
        job, position = answer.json()["id"], answer.json()["position"]
        check_problem(world.admin.get(f"/jobs/{job}", min_position=position), 503, "not_caught_up")
        check_problem(world.admin.get(f"/jobs/{job}"), 404)
    assert world.admin.get(f"/jobs/{job}", min_position=position).status_code == 200


def test_a_position_beyond_the_log_is_not_waited_for(world: World) -> None:
    beyond = world.store.head() + 1
    problem = check_problem(world.admin.get("/jobs", min_position=beyond), 422, "beyond_the_log")
    assert problem["errors"][0]["field"] == "min_position"
