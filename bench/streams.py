"""Milliseconds to load a job's checkpoints: short and long streams, from a snapshot and whole."""

from __future__ import annotations

import argparse
import sys
import time

from bench.options import positive
from bench.replay import cell
from bench.report import Round, Row, medians, rows
from domain.checkpoint import checkpoint
from domain.checkpoint.checkpoint import Checkpoints
from domain.checkpoint.events import CheckpointCause, Committed, Manifest
from domain.event import Change, Event, Meta, StreamId, stream_of
from domain.values.ids import JobId
from infra.store import Log, Store

SHORT = 100
META = Meta("bench", "bench", "bench")


def options(parser: argparse.ArgumentParser) -> None:
    """How long the long stream is, how often each is loaded."""
    parser.add_argument("--events", type=positive, default=10_000, help="of the long stream")
    parser.add_argument("--runs", type=positive, default=9, help="rounds; figures are medians")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of milliseconds."""
    with cell() as (_, store):
        lengths = {"short": SHORT, "long": options.events}
        for name, length in lengths.items():
            print(f"{name}: writing {length} checkpoints", file=sys.stderr)
            _write(store, name, length)
            _load(store, name)  # the long one gets its snapshot
        found: list[Round] = []
        for _ in range(options.runs):
            each = {f"streams.{name}": _load(store, name) for name in lengths}
            found.append({**each, "streams.long.whole": _whole(store, "long")})
    return rows(medians(found), "ms", options.events, "streams.short", [], "streams.long")


def _write(store: Store, job: str, length: int) -> None:
    for first in range(0, length, 1000):
        numbers = range(first + 1, min(first + 1000, length) + 1)
        events: list[Event] = [
            Committed(
                JobId(job),
                1,
                n,
                CheckpointCause.INTERVAL,
                Manifest(0, f"{n:064d}", 9, 10**9, 10**6),
            )
            for n in numbers
        ]
        store.append([Change(_stream(job), first, events, META)])


def _stream(job: str) -> StreamId:
    return stream_of("checkpoint", job)


def _load(store: Store, job: str) -> float:
    began = time.perf_counter()
    store.load(_stream(job), checkpoint.evolve, Checkpoints(JobId(job)))
    return 1000 * (time.perf_counter() - began)


def _whole(store: Store, job: str) -> float:
    began = time.perf_counter()
    Log.load(store, _stream(job), checkpoint.evolve, Checkpoints(JobId(job)))
    return 1000 * (time.perf_counter() - began)
