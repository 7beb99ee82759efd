"""A disk that fills up: commands stop before Postgres does; nothing that was answered is lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.embedded import Embedded, postgres
from infra.migrations import migrate
from infra.space import Space
from tests.api.problem import check_problem
from tests.api.world import World, until
from tests.real_parts import need

MIB = 1 << 20
DISK = 192 * MIB
RESERVE = 48 * MIB
PATIENCE = 60.0


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own in memory, mounted for the length of the block."""
    need(os.geteuid() == 0, "mounting a small disk needs root")
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    need(done.returncode == 0, f"no tmpfs can be mounted: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk."""
    with small_disk(tmp_path_factory.mktemp("small") / "disk") as folder:
        yield folder


@pytest.fixture
def database(disk: Path) -> Iterator[Embedded]:
    """A Postgres on the small disk that keeps little of its write-ahead log."""
    with postgres(disk / "pg") as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for setting in ("max_wal_size = '48MB'", "min_wal_size = '32MB'"):
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
        migrate(server.dsn)
        yield server


def job(project: str, size: int = 100_000) -> dict[str, Any]:
    """A job whose submission takes that much room."""
    noise = os.urandom(size // 2).hex()
    words = [noise[start : start + 4000] for start in range(0, len(noise), 4000)]
    return {"name": "j", "project_id": project, "command": words}


def free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def ballast(disk: Path, left: int) -> Path:
    """A file that leaves only so much room."""
    file = disk / "ballast"
    size = free(disk) - left
    with file.open("wb") as out:
        os.posix_fallocate(out.fileno(), 0, size)
    return file


def acknowledged(world: World, ids: list[str]) -> bool:
    """Whether every job that was answered is in the log."""
    with psycopg.connect(world.dsn) as connection:  # another's may have been cut off
        row = connection.execute(
            "SELECT count(*) FROM stored_events WHERE originator_version = 1"
            " AND originator_id = ANY(%s)",
            ([f"job/{name}" for name in ids],),
        ).fetchone()
    return row == (len(ids),)


def test_commands_stop_before_the_database_must(disk: Path, database: Embedded) -> None:
    world = World(database.dsn, database_folder=disk / "pg", database_reserve_bytes=RESERVE)
    try:
        project = world.project()
        assert world.admin.get("/health").json()["status"] == "ok"
        file = ballast(disk, RESERVE + 6 * MIB)
        done, refused = fill(world, project)
        problem = check_problem(refused, 503, "disk_nearly_full")
        assert refused.headers["retry-after"] == "30"
        assert "retry_after_seconds" not in problem
        assert free(disk) > RESERVE // 2, "the database has room left for what it must do"
        head = world.store.head()
        for method, path, body in (
            ("PUT", f"/projects/{project}/quota", {"gpu": 1}),
            ("POST", "/views/jobs/rebuild", {}),
            ("POST", "/quarantine/retry", {}),
            ("POST", f"/jobs/{done[0]}/cancel", None),
        ):
            check_problem(world.admin.send(method, path, body), 503, "disk_nearly_full")
        assert world.store.head() == head
        assert world.admin.get("/health").json()["status"] == "read_only"
        assert "compute_read_only 1.0" in world.admin.get("/metrics").text
        # it is shown when the read models have come so far
        until(lambda: world.admin.get(f"/jobs/{done[-1]}").status_code == 200)
        file.unlink()
        assert world.admin.get("/health").json()["status"] == "ok"
        assert world.admin.post("/jobs", job(project)).status_code == 201
        assert acknowledged(world, done)
    finally:
        world.close()


def fill(world: World, project: str) -> tuple[list[str], Any]:
    """Submit until it is refused; the jobs that were answered, and the refusal."""
    done: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = world.admin.post("/jobs", job(project))
        if answer.status_code != 201:
            return done, answer
        done.append(answer.json()["id"])
    raise AssertionError(f"never refused, {len(done)} jobs")


def test_a_disk_that_is_full_loses_nothing_that_was_answered(
    disk: Path, database: Embedded
) -> None:
    """Without a reserve: Postgres itself refuses or falls; with room again all goes on."""
    world = World(database.dsn, database_folder=disk / "pg", database_reserve_bytes=0)
    try:
        project = world.project()
        file = ballast(disk, 8 * MIB)
        done, refused = fill(world, project)
        check_problem(refused, 503, "database_unavailable")
        assert refused.headers["retry-after"]
        for _ in range(3):
            answer = world.admin.post("/jobs", job(project))
            assert answer.status_code in (201, 503), answer.text
            if answer.status_code == 201:
                done.append(answer.json()["id"])
        file.unlink()
        database.keep()
        until(lambda: world.admin.get("/health").status_code == 200, PATIENCE)
        until(lambda: world.admin.post("/jobs", job(project, 2000)).status_code == 201, PATIENCE)
        assert acknowledged(world, done)
        until(lambda: shown(world, done), PATIENCE)
    finally:
        world.close()


def shown(world: World, jobs: list[str]) -> bool:
    answers = [world.admin.get(f"/jobs/{name}").status_code for name in jobs[-3:]]
    return answers == [200] * len(answers)


def test_a_database_elsewhere_is_asked_by_its_function(dsn: str) -> None:
    sql = Path(__file__).parents[2] / "infra/deploy/postgres/free_space.sql"
    with psycopg.connect(dsn, autocommit=True) as connection:
        data = Path(str(connection.execute("SHOW data_directory").fetchone()[0]))  # type: ignore[index]  # one row
        connection.execute(sql.read_bytes())

    def connect() -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(dsn, row_factory=psycopg.rows.dict_row)

    found, real = Space(None, 1, connect).free(), free(data)
    assert found is not None
    assert abs(found - real) < 512 * MIB, "others use the disk meanwhile"
    assert Space(None, 1 << 62, connect).short()
    assert not Space(None, 0, connect).short()


def test_what_cannot_be_known_is_said_once_and_refuses_nothing(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    def connect() -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(dsn, row_factory=psycopg.rows.dict_row)

    for folder in (None, Path("/nowhere")):
        caplog.clear()
        space = Space(folder, 1 << 62, connect)
        for _ in range(3):
            space.check()
        assert [r.message for r in caplog.records if "is not watched" in r.message] == [
            caplog.records[0].message
        ]
