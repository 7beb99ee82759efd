"""`python -m api`: serve HTTP. Settings from the environment (`infra.settings`)."""

from __future__ import annotations

import gc
import ipaddress
import logging
import sys
import time

import uvicorn

from api.app import create_app
from domain.errors import Unavailable
from infra.logging import configure
from infra.settings import Settings
from infra.store import Store

RETRY_SECONDS = 1.0


def main() -> None:
    """Serve until stopped."""
    configure()
    settings = Settings()
    if not settings.database_url:
        sys.exit("set COMPUTE_DATABASE_URL to a Postgres DSN")
    if not ipaddress.ip_address(settings.host).is_loopback:
        logging.getLogger("api").warning("listening on %s: put TLS in front", settings.host)
    _await_database(settings.database_url)
    app = create_app(settings)
    # What the program itself is made of stays: the collector would look through all of it, 60 ms
    # of CPU, in the middle of some request.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )


def _await_database(dsn: str) -> None:
    """Return once the database answers: the parts of a cell may be started in any order."""
    while True:
        try:
            Store(dsn).close()
        except Unavailable as refusal:
            logging.getLogger("api").warning("%s: trying again", refusal)
            time.sleep(RETRY_SECONDS)
        else:
            return


if __name__ == "__main__":
    main()
