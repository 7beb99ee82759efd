"""The relay to a real broker beside the bare producer with the same bytes, and how late it is."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import quantiles

from bench.options import positive
from bench.report import Round, Row, medians, rows
from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.cloudevents import Message, to_message
from infra.embedded import postgres
from infra.follow import Bell
from infra.kafka import Cell, cell_of
from infra.kafka_stream import KafkaStream
from infra.migrations import migrate
from infra.outbox import Outbox
from infra.settings import Settings
from infra.store import Change, Store, stream_of
from infra.topic import Topic
from processors.relay import ROLE, Relay
from tests import real_kafka

EACH = 100
TEXT = "x" * 150
META = Meta("bench", "command:bench", "bench", "ml")
TICK_SECONDS = 0.01


def options(parser: argparse.ArgumentParser) -> None:
    """How many events, how often, and at which rate for the latency."""
    parser.add_argument("--size", type=positive, default=50_000, help="events a measurement")
    parser.add_argument("--runs", type=positive, default=3, help="rounds; figures are medians")
    parser.add_argument("--rate", type=positive, default=1_000, help="events/s for the latency")
    parser.add_argument("--seconds", type=positive, default=10, help="of that rate")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of events a second, and of milliseconds from the append to a reader of the topic.

    The raw limit is an idempotent producer sending the same records, made beforehand. The latency
    runs from before the append until the reader has the event; the append alone stands beside it.
    """
    if reason := real_kafka.missing():
        sys.exit(reason)
    with (
        tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
        postgres(Path(folder) / "pg") as server,
        real_kafka.kafka() as broker,
    ):
        migrate(server.dsn)
        with closing(Store(server.dsn)) as store:
            for first in range(0, options.size, EACH):
                _add(store, "filled", first, EACH)
            found: list[Round] = []
            for number in range(options.runs + 1):
                print(f"round {number} of {options.runs}", file=sys.stderr)
                cells = [_cell(broker.address, f"{kind}-{number}") for kind in ("raw", "log")]
                found.append(_throughput(server.dsn, store, cells))
            cell = _cell(broker.address, "late")
            late = _latency(server.dsn, store, cell, options.rate, options.seconds)
    values = medians(found[1:])  # the first one fills caches
    return [
        *rows(values, "1/s", options.size, "relay.raw", [], "relay.log"),
        *rows(late, "ms", options.rate * options.seconds, "relay.append.p50", [], "relay.late"),
    ]


def _cell(address: str, name: str) -> Cell:
    return cell_of(Settings(kafka=address, cell=name))


def _add(store: Store, kind: str, first: int, count: int) -> int:
    """Append events in one transaction; the last one's position."""
    changes = [
        Change(stream_of("project", f"{kind}-{n}"), 0, [Created(ProjectId(kind), TEXT)], META)
        for n in range(first, first + count)
    ]
    return store.append(changes)[-1].position


def _throughput(dsn: str, store: Store, cells: Sequence[Cell]) -> Round:
    raw, own = cells
    with closing(Outbox(dsn, own.topic)) as outbox:
        stored = outbox.rows(0, 10**9)
        before = [0, *(row.position for row in stored)]
        messages = [to_message(r, p, raw.source) for r, p in zip(stored, before, strict=False)]
        _make(raw)
        with closing(Bell(dsn)) as bell, closing(Topic(own)) as topic:
            relay = Relay(outbox, topic, store.take_role(ROLE, "bench"), bell)
            began = time.perf_counter()
            while relay.step():
                pass
            ours = time.perf_counter() - began
    return {"relay.raw": len(stored) / _raw(raw, messages), "relay.log": len(stored) / ours}


def _make(cell: Cell) -> None:
    """Make the topic, as the relay would."""
    with closing(Topic(cell)):
        pass


def _raw(cell: Cell, messages: Sequence[Message]) -> float:
    producer = cell.producer()
    began = time.perf_counter()
    sent = [producer.send(cell.topic, m.value, m.key, m.headers, 0) for m in messages]
    for future in sent:
        future.get(60)
    took = time.perf_counter() - began
    producer.close()
    return took


def _latency(dsn: str, store: Store, cell: Cell, rate: int, seconds: int) -> Round:
    """Appends of rate/100 events each hundredth second; a reader of the topic notes when."""
    after, many, ticks = store.head(), max(1, rate // 100), int(seconds / TICK_SECONDS)
    appended: dict[int, float] = {}
    took: list[float] = []
    with (
        closing(Outbox(dsn, cell.topic)) as outbox,
        closing(Topic(cell)) as topic,
        closing(Bell(dsn)) as bell,
    ):
        relay = Relay(outbox, topic, store.take_role(ROLE, "bench"), bell)
        while relay.step():
            pass
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                if not relay.step():
                    bell.wait(0.2)

        def write() -> None:
            began = time.perf_counter()
            for tick in range(ticks):
                time.sleep(max(0.0, began + tick * TICK_SECONDS - time.perf_counter()))
                at = time.perf_counter()
                appended[_add(store, "late", tick * many, many)] = at
                took.append(time.perf_counter() - at)

        threads = [threading.Thread(target=each) for each in (work, write)]
        with closing(KafkaStream(cell)) as stream:
            stream.read(after, 1)
            for thread in threads:
                thread.start()
            arrived, read = dict[int, float](), 0
            while read < ticks * many:
                some = stream.read(after, 1000)
                now = time.perf_counter()
                arrived |= dict.fromkeys((event.position for event in some), now)
                after, read = (some[-1].position if some else after), read + len(some)
                if not some:
                    stream.wait(0.1)
        done.set()
        for thread in threads:
            thread.join()
    late = [1000 * (arrived[position] - at) for position, at in appended.items()]
    return {
        **_parts("relay.append", [1000 * each for each in took]),
        **_parts("relay.late", late),
    }


def _parts(name: str, milliseconds: Sequence[float]) -> Round:
    hundredths = quantiles(milliseconds, n=100, method="inclusive")
    return {f"{name}.p50": hundredths[49], f"{name}.p99": hundredths[98]}
