"""Where timers look: read models and leases in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from domain.node.flapping import Others
from infra import leases, quarantine
from infra.codec import Poison
from processors.timers import ROLE
from projections import jobs as job_view
from projections import nodes as node_view
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

    def cordons_over(self, now: int) -> list[str]:
        """The nodes whose cordon is over."""
        return node_view.cordons_over(self._connection, now)

    def others(self, node: str) -> Others:
        """The nodes beside this one."""
        return node_view.others(self._connection, node)

    def held_back(self, found: Sequence[Poison]) -> None:
        """These events keep timers from acting."""
        with self._connection.transaction():
            for bad in found:
                quarantine.enter(self._connection, ROLE, bad)
            quarantine.keep_only(self._connection, ROLE, [bad.stream for bad in found])
