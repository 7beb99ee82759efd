"""Events a second from the log into the scheduler's snapshot, beside reading the rows alone."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.history import register, write_history
from bench.options import positive
from bench.report import Round, Row, medians, rows
from domain.event import Recorded
from domain.scheduling.replay import Replay
from domain.scheduling.snapshot import Snapshot
from infra.embedded import postgres
from infra.migrations import migrate
from infra.recorder import Datastore, Recorder
from infra.store import Store

BATCH = 5000
NODES = 20


def options(parser: argparse.ArgumentParser) -> None:
    """How much history, how often."""
    parser.add_argument("--jobs", type=positive, default=20_000, help="jobs that ran and ended")
    parser.add_argument("--runs", type=positive, default=3, help="rounds; figures are medians")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of events a second: rows alone, decoded, folded, and every decision recomputed."""
    with cell() as (dsn, store):
        print(f"writing the history of {options.jobs} jobs", file=sys.stderr)
        register(store, NODES)
        write_history(store, options.jobs)
        found = []
        for number in range(options.runs):
            print(f"round {number + 1} of {options.runs}", file=sys.stderr)
            found.append(_round(dsn, store))
        size = store.head()
    return rows(medians(found), "1/s", size, "replay.rows", [], "replay.snapshot")


@contextmanager
def cell() -> Iterator[tuple[str, Store]]:
    """An empty log on an embedded Postgres."""
    with (
        tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
        postgres(Path(folder) / "pg") as server,
    ):
        migrate(server.dsn)
        with closing(Store(server.dsn)) as store:
            yield server.dsn, store


def _round(dsn: str, store: Store) -> Round:
    datastore = Datastore(dsn, pool_size=2, lock_timeout_seconds=60)
    try:
        recorder = Recorder(datastore)
        raw = _timed(lambda after: [row[0] for row in recorder.read_log(after, BATCH)])
    finally:
        datastore.close()
    snapshot, replaying = Snapshot(), Replay()

    def folded(batch: list[Recorded]) -> None:
        for recorded in batch:
            snapshot.apply(recorded)

    def decided(batch: list[Recorded]) -> None:
        if not replaying.feed(batch):
            sys.exit(f"the replay found a difference: {replaying.tally.difference}")

    return {
        "replay.rows": raw,
        "replay.decoded": _timed(lambda after: _positions(store, after, lambda _: None)),
        "replay.snapshot": _timed(lambda after: _positions(store, after, folded)),
        "replay.decisions": _timed(lambda after: _positions(store, after, decided)),
    }


def _positions(store: Store, after: int, use: Callable[[list[Recorded]], None]) -> list[int]:
    batch = store.read(after, BATCH)
    use(batch)
    return [recorded.position for recorded in batch]


def _timed(read: Callable[[int], list[int]]) -> float:
    """Events a second of reading the whole log by batches, each given the position before."""
    began, count, after = time.perf_counter(), 0, 0
    while positions := read(after):
        count, after = count + len(positions), positions[-1]
    return count / (time.perf_counter() - began)
