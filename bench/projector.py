"""Events a second through every read model with its history, and their lag at a steady rate.

The raw limit is the same log read without decoding and copied into one table with one index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import quantiles

import psutil
import psycopg
from eventsourcing.persistence import StoredEvent

from bench import busy
from bench.options import positive
from bench.report import Round, Row, medians, rows
from infra.embedded import postgres
from infra.migrations import migrate
from infra.recorder import Append, Datastore, Recorder
from processors.projector import BATCH, Connection, connect

EACH = 20
"""Events an append, at the steady rate."""
LOOK_SECONDS = 0.005
"""Between looks at how far the projector is: another process, which tells nobody."""
_SHOWN = "SELECT min(position) AS position FROM view_positions"


def options(parser: argparse.ArgumentParser) -> None:
    """How many events, how often, at which rate."""
    parser.add_argument("--size", type=positive, default=100_000, help="events to catch up with")
    parser.add_argument("--runs", type=positive, default=3, help="rounds; figures are medians")
    parser.add_argument("--rate", type=positive, default=2000, help="events a second, steadily")
    parser.add_argument("--seconds", type=positive, default=20, help="how long, at that rate")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of events a second, and of milliseconds of lag against that of the append itself."""
    found: list[Round] = []
    late: list[Round] = []
    with (
        tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
        postgres(Path(folder) / "pg") as server,
    ):
        for number in range(options.runs):
            print(f"round {number + 1} of {options.runs}", file=sys.stderr)
            with _cell(server.dsn, f"round_{number}") as dsn:
                with psycopg.connect(dsn, autocommit=True) as connection:
                    busy.fill(connection, options.size)
                raw, (took, busy_for) = _raw(dsn), _catch_up(dsn, options.size)
                seconds = {"raw": raw, "catch-up": took, "catch-up.cpu": busy_for}
                found.append({f"projector.{k}": options.size / v for k, v in seconds.items()})
                late.append(_lag(dsn, options))
    speeds = rows(medians(found), "1/s", options.size, "projector.raw", [], "projector")
    sent = options.rate * options.seconds
    lags = rows(medians(late), "ms", sent, "projector.append.p50", [], "projector")
    return [*speeds, *lags]


@contextmanager
def _cell(server: str, name: str) -> Iterator[str]:
    """The DSN of a new cell."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        dsn = psycopg.conninfo.make_conninfo(server, dbname=name)
        migrate(dsn)
        yield dsn
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _raw(dsn: str) -> float:
    with closing(connect(dsn)) as connection:
        connection.execute("CREATE TABLE bench_copy (LIKE stored_events)")
        connection.execute("CREATE INDEX ON bench_copy (notification_id)")
        began, after = time.perf_counter(), 0
        with connection.cursor(binary=True, row_factory=psycopg.rows.tuple_row) as cursor:
            while found := cursor.execute(
                "SELECT * FROM stored_events WHERE notification_id > %s"
                " ORDER BY notification_id LIMIT %s",
                (after, BATCH),
            ).fetchall():
                after = found[-1][4]
                with cursor.copy("COPY bench_copy FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["text", "int8", "text", "bytea", "int8", "int8"])
                    for row in found:
                        copy.write_row(row)
        return time.perf_counter() - began


def _catch_up(dsn: str, size: int) -> tuple[float, float]:
    """Seconds for all events by the pace of the process after its first batch; and of CPU.

    That of the projector's processes and of Postgres together, which has two cores here. Where the
    first batch holds all events, with the start of the process.
    """
    with closing(connect(dsn)) as connection, _running(dsn) as process:
        server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None, "it has a postmaster"
        trees = [server, psutil.Process(process.pid)]
        began, before, first = time.perf_counter(), _cpu(trees), 0
        while not (first := _shown(connection)):
            time.sleep(LOOK_SECONDS)
        if first < size:
            began, before = time.perf_counter(), _cpu(trees)
        else:
            first = 0
        while _shown(connection) < size:
            time.sleep(LOOK_SECONDS)
        scale = size / (size - first)
        return (time.perf_counter() - began) * scale, (_cpu(trees) - before) * scale


def _cpu(trees: list[psutil.Process]) -> float:
    """Seconds of CPU that processes and all that they started have used so far."""
    total = 0.0
    for tree in trees:
        for process in (tree, *tree.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                total += used.user + used.system + used.children_user + used.children_system
    return total


def _shown(connection: Connection) -> int:
    """How far the last of the read models is."""
    row = connection.execute(_SHOWN).fetchone()
    return row["position"] or 0 if row else 0


@contextmanager
def _running(dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    """The projector as a process of its own."""
    environment = {**os.environ, "COMPUTE_DATABASE_URL": dsn}
    command = [sys.executable, "-m", "processors", "projector"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # ours
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _lag(dsn: str, options: argparse.Namespace) -> Round:
    """Append steadily while the projector runs as a process of its own."""
    count = options.rate * options.seconds
    work = list(islice(busy.rows(busy.events(options.size + count)), options.size, None))
    with _running(dsn):
        watch = _Watch(dsn)
        appends = _append(dsn, work, options.rate, watch)
        late = watch.finish()
    return {
        "projector.append.p50": _percentile(appends, 50),
        "projector.lag.p50": _percentile(late, 50),
        "projector.lag.p99": _percentile(late, 99),
    }


def _append(dsn: str, work: list[busy.Row], rate: int, watch: _Watch) -> list[float]:
    """Milliseconds of each append; all are made at their time, whatever the others took."""
    datastore = Datastore(dsn, pool_size=2, lock_timeout_seconds=60)
    recorder, took = Recorder(datastore), []
    batches = [work[start : start + EACH] for start in range(0, len(work), EACH)]
    watch.appended(_record(recorder, batches.pop(0)), time.perf_counter())
    watch.caught_up()  # the projector is there
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        time.sleep(max(0.0, began + number * EACH / rate - time.perf_counter()))
        asked = time.perf_counter()
        position, now = _record(recorder, batch), time.perf_counter()
        took.append((now - asked) * 1000)
        watch.appended(position, now)
    datastore.close()
    return took


def _record(recorder: Recorder, batch: list[busy.Row]) -> int:
    """Append; the last position."""
    [(positions, _)] = recorder.append_all(
        [Append([StoredEvent(*row[:4]) for row in batch], None, None)]
    )
    return positions[-1]


class _Watch:
    """Sees when the read models show what was appended, by their own wake-ups."""

    def __init__(self, dsn: str) -> None:
        self._connection = connect(dsn)
        self._connection.execute("LISTEN views")
        self._waiting: list[tuple[int, float]] = []
        self._lags: list[float] = []
        self._seen = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def appended(self, position: int, at: float) -> None:
        """To be shown from now on."""
        self._waiting.append((position, at))

    def caught_up(self) -> None:
        """Return when all is shown, and forget how long that took."""
        while len(self._lags) < len(self._waiting):
            time.sleep(0.01)
        self._lags[:] = []
        self._waiting[:] = []
        self._seen = 0

    def finish(self) -> list[float]:
        """Milliseconds of each append's lag, once all are shown."""
        self._done.set()
        self._thread.join()
        self._connection.close()
        return self._lags

    def _run(self) -> None:
        while not (self._done.is_set() and self._seen == len(self._waiting)):
            for _ in self._connection.notifies(timeout=0.2, stop_after=1):
                pass
            shown, now = _shown(self._connection), time.perf_counter()
            while self._seen < len(self._waiting) and self._waiting[self._seen][0] <= shown:
                self._lags.append(max(0.0, now - self._waiting[self._seen][1]) * 1000)
                self._seen += 1


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
