"""Where timers look: read models and leases in Postgres."""

from __future__ import annotations

from typing import Any

import psycopg

from infra import leases
from projections import jobs as job_view
from projections import policy as policy_view
from projections.jobs import Due


class PostgresWatch:
    """The port `Watch` on a connection to the cell's database."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection

    def due(self, now: int) -> Due:
        """Jobs something is due for."""
        return job_view.due(self._connection, now)

    def grace_seconds(self) -> int:
        """The policy's grace."""
        return policy_view.get(self._connection).scheduler.grace_seconds

    def expire_leases(self) -> list[tuple[str, str]]:
        """Close leases that ran out; the losses to record."""
        return leases.expire(self._connection)

    def settle_lease(self, node: str, session: str) -> None:
        """The loss is recorded."""
        leases.settle(self._connection, node, session)
