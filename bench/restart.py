"""Seconds from a scheduler's start to its first decision, with many live jobs and more history."""

from __future__ import annotations

import argparse
import sys
import time

from bench.history import register, submissions, write_history
from bench.options import positive
from bench.replay import NODES, cell
from bench.report import Round, Row, medians, rows
from domain.scheduling.snapshot import Snapshot
from infra.follow import Bell, PostgresStream
from infra.snapshots import Snapshots
from infra.store import Store
from processors import scheduler
from processors.scheduler import ROLE, Scheduler


class _Nothing:
    """Nothing is kept: all of the log is read."""

    def save(self, snapshot: Snapshot) -> None:
        """Forget it."""

    def newest(self, most: int) -> Snapshot:  # noqa: ARG002 - the port's
        return Snapshot()


def options(parser: argparse.ArgumentParser) -> None:
    """How many jobs live, how many ended before, how often."""
    parser.add_argument("--jobs", type=positive, default=64_000, help="jobs in the queue")
    parser.add_argument("--ended", type=positive, default=20_000, help="jobs of the long history")
    parser.add_argument("--runs", type=positive, default=3, help="rounds; figures are medians")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of seconds: from all of the log and from the kept state, short and long history."""
    values: dict[str, float] = {}
    for name, ended in (("short", 0), ("long", options.ended)):
        values |= _measure(name, options.jobs, ended, options.runs)
    return rows(values, "s", options.jobs, "restart.log.short", [], "restart.kept")


def _measure(name: str, live: int, ended: int, runs: int) -> dict[str, float]:
    with cell() as (dsn, store):
        register(store, NODES)
        print(f"{name}: writing {ended} ended jobs and {live} live ones", file=sys.stderr)
        write_history(store, ended)
        _queue(store, live)
        kept = Snapshots(dsn)
        stream = PostgresStream(store, Bell(dsn))
        first = Scheduler(store, stream, store.take_role(ROLE, "first"), store.now, kept=kept)
        while first.cycle():
            pass
        kept.save(first.snapshot)
        found: list[Round] = []
        for number in range(runs):
            print(f"round {number + 1} of {runs}", file=sys.stderr)
            found.append(
                {
                    **_restart(f"restart.log.{name}", store, stream, _Nothing()),
                    **_restart(f"restart.kept.{name}", store, stream, kept),
                }
            )
        stream.close()
    return medians(found)


def _queue(store: Store, live: int) -> None:
    changes = submissions(live, store.head() + 1)
    for first in range(0, len(changes), 1000):
        store.append(changes[first : first + 1000])


def _restart(name: str, store: Store, stream: PostgresStream, kept: scheduler.Kept) -> Round:
    """A job is submitted, and a new leader takes over: until it said what becomes of the job.

    Beside the time that passed, that of this process alone (`.cpu`), for machines shared by others.
    """
    store.append(submissions(1, store.head() + 1))
    head = store.head()
    began, busy = time.perf_counter(), time.process_time()
    leader = Scheduler(store, stream, store.take_role(ROLE, "next"), store.now, kept=kept)
    leader.cycle()
    took = {name: time.perf_counter() - began, f"{name}.cpu": time.process_time() - busy}
    if store.head() == head:
        sys.exit("the scheduler decided nothing")
    return took
