"""`python -m processors.failover [--known-head N]`: run once after a standby was promoted.

See `infra.failover` for what it does; docs/reliability.md says when. It waits until every lease of
before is over: stopped earlier, it is to be run again. Exit status 1 if acknowledged events may be
lost, 3 if it is not known.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from infra.failover import fail_over, release
from infra.leases import MARGIN_MS
from infra.logging import configure
from infra.settings import Settings
from processors import scheduler, timers, witness

ROLES = (scheduler.ROLE, timers.ROLE, witness.ROLE, "relay")

log = logging.getLogger(__name__)


def main(words: list[str]) -> int:
    """Tell what was lost, and what to do."""
    parser = argparse.ArgumentParser(prog="python -m processors.failover")
    parser.add_argument(
        "--known-head",
        type=int,
        help="the highest log position known from outside: a signed tree head, a backup, Kafka",
    )
    known = parser.parse_args(words).known_head
    configure()
    settings = Settings()
    if not settings.database_url:
        sys.exit("set COMPUTE_DATABASE_URL to the DSN of the promoted database")
    made, hold = fail_over(settings.database_url, ROLES, known), settings.lease_ttl_ms + MARGIN_MS
    log.info("nobody leads for %d s: do not stop this, or run it again", hold // 1000)
    # Nothing tells that they are over: leases to be awaited may be lost with the log. So long, and
    # not until a time, because whatever clock would tell the time may be set meanwhile.
    time.sleep(hold / 1000)
    release(settings.database_url)
    if settings.kafka and made.lost != 0:
        log.warning("delete the cell's Kafka topic if it ends with events that are lost")
    if made.lost is None:
        log.error("failed over at position %d: what was lost is not known", made.head)
        return 3
    if made.lost:
        log.error("failed over at position %d: up to %d events are LOST", made.head, made.lost)
        return 1
    log.info("failed over at position %d: nothing is lost", made.head)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
