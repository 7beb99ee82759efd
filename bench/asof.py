"""Milliseconds of queries about the past, over HTTP, beside the same queries about the present."""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles

import psycopg

from bench import busy
from bench.http_load import Connection
from bench.options import positive
from bench.report import Row
from domain.access import Role
from domain.values.time import SECOND, to_text
from infra.bootstrap import token_in
from infra.embedded import postgres
from infra.follow import Bell, PostgresStream
from infra.migrations import migrate
from infra.store import Store
from processors.projector import Projector, connect
from projections.tables import prepare

HOUR = 3600 * SECOND


def options(parser: argparse.ArgumentParser) -> None:
    """How many events, how many queries."""
    parser.add_argument("--size", type=positive, default=1_000_000, help="events in the log")
    parser.add_argument("--runs", type=positive, default=200, help="queries of each kind")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of p50 and p99 of each query as of random moments, against the present's."""
    with tempfile.TemporaryDirectory(prefix="compute-bench-") as name:
        folder = Path(name)
        with postgres(folder / "pg") as server:
            token = _prepare(server.dsn, options.size, folder)
            with _served(server.dsn) as url, Connection(url, token) as connection:
                return _measure(connection, options)


def _prepare(dsn: str, size: int, folder: Path) -> str:
    """A cell with the whole log shown, and an administrator's token."""
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        busy.fill(connection, size)
    store = Store(dsn)
    token = token_in(store, folder / "token", "bench", Role.ADMIN)
    with closing(connect(dsn)) as connection, closing(PostgresStream(store, Bell(dsn))) as log:
        prepare(connection)
        projector, began, done = Projector(connection, log), time.monotonic(), 0
        while step := projector.step():
            done += step
            print(f"shown {done} of {size}", end="\r", file=sys.stderr)
        print(f"shown in {time.monotonic() - began:.0f} s", file=sys.stderr)
        connection.execute("VACUUM ANALYZE")
    store.close()
    return token


@contextmanager
def _served(dsn: str) -> Iterator[str]:
    """The address of the API on this database."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {**os.environ, "COMPUTE_DATABASE_URL": dsn, "COMPUTE_PORT": port}
    command = [sys.executable, "-m", "api"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # ours
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                with Connection(url, "") as connection:
                    connection.call("GET", "/health")
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _queries(pick: random.Random, size: int) -> dict[str, str]:
    """A query of each kind, on a job that was there when the log was half as long."""
    job = busy.job_id(pick.randrange(max(1, size // busy.PER_JOB // 2)))
    project = pick.choice(busy.PROJECTS)
    day = f"since={to_text(busy.BEGAN)}&until={to_text(busy.BEGAN + HOUR)}"
    return {
        "queue": f"/queue?limit=100&project_id={project}",
        "jobs": "/jobs?limit=100",
        "running": "/jobs?limit=100&phase=running",
        "job": f"/jobs/{job}?",
        "why": f"/jobs/{job}/why?",
        "nodes": "/nodes?",
        "pools": "/resources/pools?",
        "project": f"/projects/{project}?",
        "usage": f"/usage?project_id={project}&{day}",
        "cost": f"/cost?project_id={project}&{day}",
        "policy": "/policy/scheduler?",
    }


def _measure(connection: Connection, options: argparse.Namespace) -> list[Row]:
    pick = random.Random(1)
    took: dict[str, list[float]] = {}
    for number in range(options.runs):
        for name, path in _queries(pick, options.size).items():
            # The present first, the past second: on the same job, of the second half of the log.
            took.setdefault(f"asof.{name}.now", []).append(_ask(connection, path))
            position = pick.randrange(options.size // 2, options.size + 1)
            past = _ask(connection, f"{path}&as_of={position}")
            took.setdefault(f"asof.{name}", []).append(past)
            took.setdefault("asof.all", []).append(past)
        print(f"asked {number + 1} of {options.runs} times", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    found = {
        f"{name}.p{percent}": quantiles(values, n=100, method="inclusive")[percent - 1]
        for name, values in took.items()
        for percent in (50, 99)
    }
    return [_row(name, found, options.size) for name in found]


def _row(name: str, found: dict[str, float], size: int) -> Row:
    """A figure of the past against the present's; of the present, and of all, against itself."""
    kind, percent = name.rsplit(".", 1)
    present = f"{kind}.now.{percent}"
    against = present if present in found else name
    return Row(name, found[name], "ms", size, found[name] / found[against], against)


def _ask(connection: Connection, path: str) -> float:
    began = time.perf_counter()
    connection.call("GET", path)
    return (time.perf_counter() - began) * 1000
