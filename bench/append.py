"""Events a second into the log, 100 a transaction, beside an insert without lock or wake-up."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from eventsourcing.persistence import StoredEvent

from bench.contest import CLIENTS
from bench.http_load import spread
from bench.options import positive
from bench.report import Round, Row, medians, rows
from infra.embedded import postgres
from infra.migrations import migrate
from infra.recorder import Append, Datastore, Recorder

EACH = 100
STATE = bytes(range(256)) + bytes(14)
_RAW = (
    "INSERT INTO bench_events (originator_id, originator_version, topic, state, recorded_at)"
    " SELECT *, 0 FROM unnest(%b::text[], %b::int8[], %b::text[], %b::bytea[])"
    " RETURNING notification_id"
)


def options(parser: argparse.ArgumentParser) -> None:
    """How many events, how often."""
    parser.add_argument("--size", type=positive, default=100_000, help="events a measurement")
    parser.add_argument("--runs", type=positive, default=5, help="rounds; figures are medians")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of events a second with 1 and 4 writers; the raw limit is an unnest insert."""
    found: list[Round] = []
    with (
        tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
        postgres(Path(folder) / "pg") as server,
    ):
        migrate(server.dsn)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE bench_events (LIKE stored_events INCLUDING ALL)")
        datastore = Datastore(server.dsn, pool_size=CLIENTS, lock_timeout_seconds=60)
        try:
            recorder = Recorder(datastore)
            for number in range(options.runs + 1):
                print(f"round {number} of {options.runs}", file=sys.stderr)
                found += [_round(server.dsn, recorder, number, options.size)]
        finally:
            datastore.close()
    values = medians(found[1:])  # the first one fills caches
    return [
        row
        for writers in (1, CLIENTS)
        for row in rows(
            {name: v for name, v in values.items() if name.endswith(f".{writers}")},
            "1/s",
            options.size,
            f"append.raw.{writers}",
            [],
            "append.log",
        )
    ]


def _round(dsn: str, recorder: Recorder, number: int, size: int) -> Round:
    found = {}
    for writers in (1, CLIENTS):
        name = f"{number}/{writers}"
        found[f"append.raw.{writers}"] = size / _raw(dsn, name, writers, size)
        found[f"append.log.{writers}"] = size / _log(recorder, name, writers, size)
    return found


def _batches(stream: str, numbers: range) -> list[list[StoredEvent]]:
    return [
        [StoredEvent(f"{stream}/{batch}", n, "job.submitted.v1", STATE) for n in range(1, EACH + 1)]
        for batch in numbers
    ]


def _log(recorder: Recorder, name: str, writers: int, size: int) -> float:
    work = [_batches(f"job/{name}/{w}", range(size // EACH // writers)) for w in range(writers)]

    def write(client: int, _numbers: range) -> None:
        for batch in work[client]:
            recorder.append_all([Append(batch, None, None)])

    return _timed(writers, write)


def _raw(dsn: str, name: str, writers: int, size: int) -> float:
    work = [_batches(f"job/{name}/{w}", range(size // EACH // writers)) for w in range(writers)]

    def write(client: int, _numbers: range) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
            for batch in work[client]:
                columns = (
                    [event.originator_id for event in batch],
                    [event.originator_version for event in batch],
                    [event.topic for event in batch],
                    [event.state for event in batch],
                )
                cursor.execute(_RAW, columns, prepare=True).fetchall()

    return _timed(writers, write)


def _timed(writers: int, write: Callable[[int, range], None]) -> float:
    began = time.perf_counter()
    spread(writers, writers, write)
    return time.perf_counter() - began
