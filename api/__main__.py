"""`python -m api`: serve HTTP. Settings from the environment (`infra.settings`)."""

from __future__ import annotations

import ipaddress
import logging
import sys

import uvicorn

from api.app import create_app
from infra.logging import configure
from infra.settings import Settings


def main() -> None:
    """Serve until stopped."""
    configure()
    settings = Settings()
    if not settings.database_url:
        sys.exit("set COMPUTE_DATABASE_URL to a Postgres DSN")
    if not ipaddress.ip_address(settings.host).is_loopback:
        logging.getLogger("api").warning("listening on %s: put TLS in front", settings.host)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
