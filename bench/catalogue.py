"""Every benchmark there is, by the name that runs it."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

from bench.report import Row

BENCHES = {
    "append": "events a second into the log, 100 a transaction, 1 and 4 writers",
    "submit": "single submissions a second over HTTP, 4 clients",
    "projector": "events a second through all read models with history, and their lag",
    "asof": "milliseconds of queries about the past, beside the present",
    "relay": "events a second from the log to a real Kafka, and how late they are there",
    "replay": "events a second from the log into the scheduler's snapshot, decisions recomputed",
    "restart": "seconds from a scheduler's start to its first decision, many jobs live",
    "streams": "milliseconds to load a job's checkpoints, short and long streams",
    "start": "milliseconds from submission to a running job",
    "verify": "seconds to verify an exported log offline, 1,000,000 events",
    "gaps": "events a tailing reader misses under 4 writers, 1,000,000 events",
    "truejobs": "seconds for real `true` jobs, batched and singly",
    "openb": "GPU allocated under fragmentation: placement scores on a trace of arriving tasks",
    "placement": "placement decisions and gangs a second on a large fleet, lazily and by full scan",
    "cycle": "milliseconds of a planning cycle: long queues, and room made by preemption",
    "swf": "bounded slowdown of batch windows by order and backfill",
    "simulate": "a trace through the scheduling core or the whole planner, with pictures",
    "philly": "completion times and waits on the Philly jobs against FIFO",
}


class Bench(Protocol):
    """What the module `bench.NAME` of every benchmark offers."""

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options it takes."""
        ...

    def run(self, options: argparse.Namespace) -> list[Row]:
        """Measure. SystemExit with a reason when it cannot; progress goes to stderr."""
        ...


def load(name: str) -> Bench:
    """The benchmark, imported now, so that no other needs what this one needs."""
    return cast(Bench, import_module(f"bench.{name}"))
