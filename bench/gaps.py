"""Events a reader that tails the log misses while 4 writers append: none, or it is an error."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from bench.contest import CLIENTS
from bench.http_load import spread
from bench.options import positive
from bench.report import Row
from infra.embedded import postgres
from infra.migrations import migrate
from infra.recorder import Append, Datastore, Recorder

EACH = 100
STATE = b'{"actor":"a","cause":"c","correlation":"c","project":null,"epoch":null,"data":{}}'


def options(parser: argparse.ArgumentParser) -> None:
    """How many events."""
    parser.add_argument("--events", type=positive, default=1_000_000, help="appended in all")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of events written and read a second, and of those missed; SystemExit if any was."""
    size = options.events // EACH // CLIENTS * EACH * CLIENTS
    with (
        tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
        postgres(Path(folder) / "pg") as server,
    ):
        migrate(server.dsn)
        datastore = Datastore(server.dsn, pool_size=CLIENTS + 1, lock_timeout_seconds=60)
        try:
            return _measure(Recorder(datastore), size)
        finally:
            datastore.close()


def _measure(recorder: Recorder, size: int) -> list[Row]:
    seen: list[int] = []
    over = threading.Event()

    def tail() -> None:
        while True:
            last_look = over.is_set()
            rows = recorder.read_log(seen[-1] if seen else 0, 1000)
            seen.extend(row[0] for row in rows)
            if last_look and not rows:
                return

    def write(client: int, _numbers: range) -> None:
        for batch in range(size // EACH // CLIENTS):
            stream = f"job/{client}-{batch}"
            rows = [StoredEvent(stream, n, "job.held.v1", STATE) for n in range(1, EACH + 1)]
            recorder.append_all([Append(rows, None, None)])

    reader = threading.Thread(target=tail)
    began = time.perf_counter()
    reader.start()
    spread(CLIENTS, CLIENTS, write)
    written = size / (time.perf_counter() - began)
    over.set()
    reader.join()
    read = size / (time.perf_counter() - began)
    missed = size - len(set(seen))
    if missed or len(seen) != size:
        sys.exit(f"of {size} events the reader saw {len(seen)}, {missed} of them never")
    return [
        Row("gaps.written", written, "1/s", size, 1.0, "gaps.written"),
        Row("gaps.read", read, "1/s", size, read / written, "gaps.written"),
        Row("gaps.missed", missed, "events", size, missed / size, "gaps.written"),
    ]
