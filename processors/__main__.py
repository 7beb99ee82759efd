"""`python -m processors [projector] [scheduler] [timers]`: all of them, or those named.

Each runs in a thread of its own and is started anew, from the log, when it fails. The settings
are those of `infra.settings`, from the environment.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

from domain.errors import Refusal, StaleWriter
from infra.follow import Bell, PostgresStream
from infra.leader import lead
from infra.logging import configure
from infra.settings import Settings
from infra.store import Store
from processors import projector, scheduler, timers
from processors.watch import PostgresWatch
from projections.tables import prepare

RETRY_SECONDS = 0.5
log = logging.getLogger("processors")


def run_projector(dsn: str) -> None:
    """Project until something fails."""
    store, connection = Store(dsn), projector.connect(dsn)
    stream = PostgresStream(store, Bell(dsn))
    try:
        prepare(connection)
        projector.Projector(connection, stream).run()
    finally:
        stream.close()
        connection.close()
        store.close()


def run_scheduler(dsn: str) -> None:
    """Lead the scheduling until something fails or another leads."""
    store = Store(dsn)
    stream = PostgresStream(store, Bell(dsn))
    try:
        with lead(dsn, store, scheduler.ROLE) as epoch:
            if epoch is not None:
                scheduler.Scheduler(store, stream, epoch, store.now).run()
    finally:
        stream.close()
        store.close()


def run_timers(dsn: str) -> None:
    """Lead the timers until something fails or another leads."""
    store, connection = Store(dsn), projector.connect(dsn)
    try:
        with lead(dsn, store, timers.ROLE) as epoch:
            if epoch is not None:
                prepare(connection)
                timers.Timers(store, PostgresWatch(connection), epoch).run()
    finally:
        connection.close()
        store.close()


PROCESSES: dict[str, Callable[[str], None]] = {
    "projector": run_projector,
    "scheduler": run_scheduler,
    "timers": run_timers,
}


def supervise(name: str, dsn: str) -> None:
    """Run one process for ever."""
    while True:
        try:
            PROCESSES[name](dsn)
        except StaleWriter:
            log.warning("%s: another leader took over", name)
        except Refusal as refusal:
            log.warning("%s: %s", name, refusal)
        except Exception:  # a failure of any kind must not end the supervision
            log.exception("%s failed and starts anew", name)
        time.sleep(RETRY_SECONDS)  # also the pace at which a follower asks for the leadership


def main(names: list[str]) -> None:
    """Start the named processes, or all, and stay."""
    configure()
    unknown = [name for name in names if name not in PROCESSES]
    if unknown:
        sys.exit(f"no process {unknown[0]!r}; there are: {', '.join(PROCESSES)}")
    dsn = Settings().database_url
    if not dsn:
        sys.exit("set COMPUTE_DATABASE_URL to a Postgres DSN")
    for name in names or PROCESSES:
        threading.Thread(target=supervise, args=(name, dsn), name=name, daemon=True).start()
    log.info("running: %s", ", ".join(names or PROCESSES))
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
