"""`python -m processors [NAME...]`: all processes, or those named.

They are projector, scheduler, timers, rebuilder, retention, relay and witness; among all, the relay
only where COMPUTE_KAFKA is set and the witness only where COMPUTE_WITNESS is. Each runs in a thread
of its own and is started anew, from the log, when it fails; an alarm of the witness ends them all
with exit code 3. The settings are those of `infra.settings`, from the environment.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

from domain.errors import Invalid, StaleWriter
from infra.follow import Bell, PostgresStream
from infra.leader import lead
from infra.leases import MARGIN_MS
from infra.logging import configure
from infra.places import Place
from infra.settings import ALARM_CODE, Settings
from infra.snapshots import Snapshots
from infra.store import Store
from processors import projector, rebuilder, retention, scheduler, timers
from processors.alarm import TamperAlarm
from processors.lane import elsewhere, follow, lane, rarely_collect
from processors.lanes import WEATHER, Lanes
from processors.pace import Measured
from processors.reading import PostgresQuarantine
from processors.watch import PostgresWatch
from projections.catalogue import HEAVY, VIEWS
from projections.tables import prepare

RETRY_SECONDS = 0.5
LONGEST_SECONDS = 4.0
SOUND_SECONDS = 10.0
"""Who ran as long as this before it failed is started at once again."""
log = logging.getLogger("processors")


def run_projector(settings: Settings) -> None:
    """Project until something fails."""
    far = {name: partial(elsewhere, name) for name in HEAVY}
    Lanes(partial(lane, settings), VIEWS, far).run()


def run_scheduler(settings: Settings) -> None:
    """Lead the scheduling until something fails or another leads."""
    dsn = settings.database_url
    with (
        closing(Store(dsn)) as store,
        closing(projector.connect(dsn)) as connection,
        closing(follow(settings, store)) as stream,
        lead(dsn, store, scheduler.ROLE) as epoch,
    ):
        if epoch is not None:
            ward = PostgresQuarantine(connection, scheduler.ROLE)
            kept, place = Snapshots(dsn), Place(connection, epoch)
            now, pace = store.now, Measured()
            scheduler.Scheduler(store, stream, epoch, now, ward, kept, place, pace).run()


def run_timers(settings: Settings) -> None:
    """Lead the timers until something fails or another leads."""
    dsn = settings.database_url
    with (
        closing(Store(dsn)) as store,
        closing(projector.connect(dsn)) as connection,
        lead(dsn, store, timers.ROLE) as epoch,
    ):
        if epoch is not None:
            prepare(connection)
            longest = 1000 * (settings.lease_ttl_ms + MARGIN_MS)
            timers.Timers(store, PostgresWatch(connection), epoch, longest).run()


def run_rebuilder(settings: Settings) -> None:
    """Carry out rebuilds of read models until something fails."""
    dsn = settings.database_url
    with (
        closing(Store(dsn)) as store,
        closing(projector.connect(dsn)) as connection,
        closing(PostgresStream(store, Bell(dsn))) as stream,
    ):
        prepare(connection)
        rebuilder.Rebuilder(connection, stream).run()


def run_retention(settings: Settings) -> None:
    """Delete history that is too old, until something fails."""
    with closing(projector.connect(settings.database_url)) as connection:
        prepare(connection)
        retention.Retention(connection, settings.history_seconds).run()


def run_relay(settings: Settings) -> None:
    """Lead the relay to Kafka until something fails or another leads."""
    from infra.kafka import cell_of  # here: without COMPUTE_KAFKA no client is loaded
    from infra.outbox import Outbox
    from infra.topic import Topic
    from processors.relay import ROLE, Relay

    dsn, cell = settings.database_url, cell_of(settings)
    with (
        closing(Store(dsn)) as store,
        closing(Bell(dsn)) as bell,
        lead(dsn, store, ROLE) as epoch,
    ):
        if epoch is not None:
            with closing(Outbox(dsn, cell.topic)) as outbox, closing(Topic(cell)) as topic:
                Relay(outbox, topic, epoch, bell).run()


def run_witness(settings: Settings) -> None:
    """Lead the witness until something fails or another leads; TamperAlarm for good."""
    from infra.heads import Folder  # here: where nothing is signed, no cryptography is loaded
    from processors.witness import ROLE, Witness

    assert settings.witness is not None, "main looked"
    dsn = settings.database_url
    with (
        closing(Store(dsn)) as store,
        closing(projector.connect(dsn)) as connection,
        closing(Bell(dsn)) as bell,
        lead(dsn, store, ROLE) as epoch,
    ):
        if epoch is not None:
            folder = Folder(settings.witness)
            Witness(
                connection, folder, settings.cell, epoch, bell, store.now, settings.witness_seconds
            ).run()


PROCESSES: dict[str, Callable[[Settings], None]] = {
    "projector": run_projector,
    "scheduler": run_scheduler,
    "timers": run_timers,
    "rebuilder": run_rebuilder,
    "retention": run_retention,
    "relay": run_relay,
    "witness": run_witness,
}
_alarmed = threading.Event()


def supervise(name: str, settings: Settings) -> None:
    """Run one process for ever; one that fails again and again is started less often."""
    pause = RETRY_SECONDS
    while True:
        began = time.monotonic()
        try:
            PROCESSES[name](settings)
            pause = RETRY_SECONDS
        except TamperAlarm as alarm:
            log.critical("%s: ALARM: %s", name, alarm)
            _alarmed.set()
            return
        except StaleWriter:
            log.warning("%s: another leader took over", name)
        except WEATHER as weather:
            log.warning("%s: %s", name, weather)
        except Exception:  # a failure of any kind must not end the supervision
            log.exception("%s failed and starts anew", name)
        if time.monotonic() - began > SOUND_SECONDS:
            pause = RETRY_SECONDS
        time.sleep(pause)  # also the pace at which a follower asks for the leadership
        pause = min(2 * pause, LONGEST_SECONDS)


def _check_kafka(settings: Settings) -> None:
    from infra.kafka import cell_of

    try:
        cell_of(settings)
    except Invalid as refusal:
        sys.exit(str(refusal))


def main(names: list[str]) -> None:
    """Start the named processes, or all, and stay."""
    configure()
    rarely_collect()
    # Who waited for the database should not wait long for whoever computes.
    sys.setswitchinterval(0.001)
    unknown = [name for name in names if name not in PROCESSES]
    if unknown:
        sys.exit(f"no process {unknown[0]!r}; there are: {', '.join(PROCESSES)}")
    settings = Settings()
    if not settings.database_url:
        sys.exit("set COMPUTE_DATABASE_URL to a Postgres DSN")
    wanted = {"relay": bool(settings.kafka), "witness": settings.witness is not None}
    names = names or [name for name in PROCESSES if wanted.get(name, True)]
    if "witness" in names and settings.witness is None:
        sys.exit("set COMPUTE_WITNESS to a folder for the signing key and the signed tree heads")
    secured = settings.kafka_security != "plaintext"
    if "relay" in names or settings.follow == "kafka" or secured:
        _check_kafka(settings)
    for name in names:
        threading.Thread(target=supervise, args=(name, settings), name=name, daemon=True).start()
    log.info("running: %s", ", ".join(names))
    _alarmed.wait()
    sys.exit(ALARM_CODE)


if __name__ == "__main__":
    main(sys.argv[1:])
