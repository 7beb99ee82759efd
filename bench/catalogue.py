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
    "start": "milliseconds from submission to a running job",
    "truejobs": "seconds for real `true` jobs, batched and singly",
    "swf": "bounded slowdown of a batch trace by order and backfill, beside FCFS",
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
