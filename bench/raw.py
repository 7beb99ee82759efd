"""Raw limits of this machine: what nothing built on it can pass."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.contest import CLIENTS, Contestant
from bench.http_load import spread

ROW_BYTES = 600
"""About what the events of one submission take."""


def inserts(dsn: str, count: int) -> float:
    """Seconds in which CLIENTS clients insert and commit `count` rows, one a transaction."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_rows")
        connection.execute("CREATE TABLE bench_rows (id bigserial PRIMARY KEY, data bytea)")

    def work(_client: int, numbers: range) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in numbers:
                connection.execute(
                    "INSERT INTO bench_rows (data) VALUES (%s)", (bytes(ROW_BYTES),), prepare=True
                )

    began = time.perf_counter()
    spread(count, CLIENTS, work)
    return time.perf_counter() - began


class ForkExec:
    """fork and exec of a program by this process, one after the other: no system at all."""

    def starts(self, count: int) -> list[float]:
        found = []
        for _ in range(count):
            read, write = os.pipe()
            began = time.time_ns()
            actions = [(os.POSIX_SPAWN_DUP2, write, 1)]
            pid = os.posix_spawn("/bin/date", ["date", "+%s%N"], os.environ, file_actions=actions)
            os.close(write)
            with os.fdopen(read) as output:
                found.append((int(output.read()) - began) / 1e6)
            os.waitpid(pid, 0)
        return found

    def batch(self, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        return time.perf_counter() - began

    def singles(self, count: int) -> float:
        return self.batch(count)


@contextmanager
def _running(_folder: Path) -> Iterator[ForkExec]:
    yield ForkExec()


FORK_EXEC = Contestant("fork-exec", lambda: "", _running)
