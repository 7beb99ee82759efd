"""`python -m processors.lane VIEW`: one read model's projector, as a process of its own.

The projector starts one for each read model that is as much work as all others: threads of one
process take turns computing, processes use a core each. It ends when its standard input does, so
with who started it, however that ends.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Protocol

from infra.follow import Bell, PostgresStream
from infra.logging import configure
from infra.settings import Settings
from infra.store import Store
from processors import projector
from processors.lanes import WEATHER, LaneEnded, Lanes
from processors.stream import EventStream
from projections.catalogue import VIEWS
from projections.tables import prepare
from projections.view import View

LOOK_SECONDS = 0.2
"""Between looks whether the process is to end, while it is waited for."""


class Stream(EventStream, Protocol):
    """A way to follow the log that holds connections."""

    def close(self) -> None:
        """Give the connections back."""


def follow(settings: Settings, store: Store, names: Collection[str] | None = None) -> Stream:
    """The log as the settings say to read it; for whom not all events matter, these."""
    if settings.follow == "postgres":
        return PostgresStream(store, Bell(settings.database_url), names)
    from infra.kafka import cell_of  # here: without Kafka no client is loaded
    from infra.kafka_stream import KafkaStream

    return KafkaStream(cell_of(settings), store)


@contextmanager
def lane(settings: Settings, views: Sequence[View[Any]]) -> Iterator[projector.Projector]:
    """A projector of these read models with connections of its own."""
    dsn = settings.database_url
    with closing(Store(dsn)) as store, closing(projector.connect(dsn)) as connection:
        prepare(connection)
        names = frozenset(kind.topic for view in views for kind in view.on)
        with closing(follow(settings, store, names)) as stream:
            yield projector.Projector(connection, stream, views)


def elsewhere(view: str, stop: threading.Event) -> None:
    """Project a read model in another process until it fails, which raises, or `stop` is set."""
    command = [sys.executable, "-m", "processors.lane", view]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # ours; leaving ends it
        while not stop.is_set():
            try:
                code = process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise LaneEnded(f"its process ended with exit code {code}")


def rarely_collect() -> None:
    """Let the collector rest: a batch of events is many small objects for a short time.

    By default it would look through all of them each time 700 more are made, for a third of the
    projector's time.
    """
    gc.set_threshold(100_000, 50, 100)


def _end_with_the_starter() -> None:
    # Not by sys.stdin: a thread that waits in it holds its lock, and Python aborts when it ends.
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def main(name: str) -> None:
    """Project until something fails."""
    configure()
    rarely_collect()
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    views = [view for view in VIEWS if view.name == name]
    try:
        Lanes(partial(lane, Settings()), views).run()
    except WEATHER as weather:  # who started this one starts it anew
        sys.exit(f"projector of {name}: {weather}")


if __name__ == "__main__":
    main(sys.argv[1])
