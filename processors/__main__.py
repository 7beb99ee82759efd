"""`python -m processors [NAME...]`: all processes, or those named.

They are projector, scheduler, timers, rebuilder, retention and relay, the last among all only where
COMPUTE_KAFKA is set. Each runs in a thread of its own and is started anew, from the log, when it
fails. The settings are those of `infra.settings`, from the environment.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from domain.errors import Invalid, Refusal, StaleWriter
from infra.follow import Bell, PostgresStream
from infra.leader import lead
from infra.logging import configure
from infra.settings import Settings
from infra.store import Store
from processors import projector, rebuilder, retention, scheduler, timers
from processors.stream import EventStream
from processors.watch import PostgresWatch
from projections.tables import prepare

RETRY_SECONDS = 0.5
log = logging.getLogger("processors")


class Stream(EventStream, Protocol):
    """A way to follow the log that holds connections."""

    def close(self) -> None:
        """Give the connections back."""


def follow(settings: Settings, store: Store) -> Stream:
    """The log as the settings say to read it."""
    if settings.follow == "postgres":
        return PostgresStream(store, Bell(settings.database_url))
    from infra.kafka import cell_of  # here: without Kafka no client is loaded
    from infra.kafka_stream import KafkaStream

    return KafkaStream(cell_of(settings))


def run_projector(settings: Settings) -> None:
    """Project until something fails."""
    dsn = settings.database_url
    store, connection = Store(dsn), projector.connect(dsn)
    stream = follow(settings, store)
    try:
        prepare(connection)
        projector.Projector(connection, stream).run()
    finally:
        stream.close()
        connection.close()
        store.close()


def run_scheduler(settings: Settings) -> None:
    """Lead the scheduling until something fails or another leads."""
    dsn = settings.database_url
    store = Store(dsn)
    stream = follow(settings, store)
    try:
        with lead(dsn, store, scheduler.ROLE) as epoch:
            if epoch is not None:
                scheduler.Scheduler(store, stream, epoch, store.now).run()
    finally:
        stream.close()
        store.close()


def run_timers(settings: Settings) -> None:
    """Lead the timers until something fails or another leads."""
    dsn = settings.database_url
    store, connection = Store(dsn), projector.connect(dsn)
    try:
        with lead(dsn, store, timers.ROLE) as epoch:
            if epoch is not None:
                prepare(connection)
                timers.Timers(store, PostgresWatch(connection), epoch).run()
    finally:
        connection.close()
        store.close()


def run_rebuilder(settings: Settings) -> None:
    """Carry out rebuilds of read models until something fails."""
    dsn = settings.database_url
    store, connection = Store(dsn), projector.connect(dsn)
    stream = PostgresStream(store, Bell(dsn))
    try:
        prepare(connection)
        rebuilder.Rebuilder(connection, stream).run()
    finally:
        stream.close()
        connection.close()
        store.close()


def run_retention(settings: Settings) -> None:
    """Delete history that is too old, until something fails."""
    connection = projector.connect(settings.database_url)
    try:
        prepare(connection)
        retention.Retention(connection, settings.history_seconds).run()
    finally:
        connection.close()


def run_relay(settings: Settings) -> None:
    """Lead the relay to Kafka until something fails or another leads."""
    from infra.kafka import cell_of  # here: without COMPUTE_KAFKA no client is loaded
    from infra.outbox import Outbox
    from infra.topic import Topic
    from processors.relay import ROLE, Relay

    dsn, cell = settings.database_url, cell_of(settings)
    store, bell = Store(dsn), Bell(dsn)
    try:
        with lead(dsn, store, ROLE) as epoch:
            if epoch is not None:
                with closing(Outbox(dsn, cell.topic)) as outbox, closing(Topic(cell)) as topic:
                    Relay(outbox, topic, epoch, bell).run()
    finally:
        bell.close()
        store.close()


PROCESSES: dict[str, Callable[[Settings], None]] = {
    "projector": run_projector,
    "scheduler": run_scheduler,
    "timers": run_timers,
    "rebuilder": run_rebuilder,
    "retention": run_retention,
    "relay": run_relay,
}


def supervise(name: str, settings: Settings) -> None:
    """Run one process for ever."""
    while True:
        try:
            PROCESSES[name](settings)
        except StaleWriter:
            log.warning("%s: another leader took over", name)
        except Refusal as refusal:
            log.warning("%s: %s", name, refusal)
        except Exception:  # a failure of any kind must not end the supervision
            log.exception("%s failed and starts anew", name)
        time.sleep(RETRY_SECONDS)  # also the pace at which a follower asks for the leadership


def _check_kafka(settings: Settings) -> None:
    from infra.kafka import cell_of

    try:
        cell_of(settings)
    except Invalid as refusal:
        sys.exit(str(refusal))


def main(names: list[str]) -> None:
    """Start the named processes, or all, and stay."""
    configure()
    # A batch of events is many small objects for a short time: by default the collector would look
    # through all of them each time 700 more are made, for a third of the projector's time.
    gc.set_threshold(100_000, 50, 100)
    unknown = [name for name in names if name not in PROCESSES]
    if unknown:
        sys.exit(f"no process {unknown[0]!r}; there are: {', '.join(PROCESSES)}")
    settings = Settings()
    if not settings.database_url:
        sys.exit("set COMPUTE_DATABASE_URL to a Postgres DSN")
    names = names or [name for name in PROCESSES if name != "relay" or settings.kafka]
    if "relay" in names or settings.follow == "kafka":
        _check_kafka(settings)
    for name in names:
        threading.Thread(target=supervise, args=(name, settings), name=name, daemon=True).start()
    log.info("running: %s", ", ".join(names))
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
