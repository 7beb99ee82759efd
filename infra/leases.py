"""Node leases: who may act as a node, and until when, by the database's clock.

The agent counts its lease from before it sent the request, so it always ends there first.
"""

from __future__ import annotations

from typing import Any

import psycopg

from domain.errors import Conflict, StaleWriter

Connection = psycopg.Connection[dict[str, Any]]

MARGIN_MS = 1000
"""Beyond the agent's own end of the lease, before its work counts as stopped."""


def take(connection: Connection, node: str, boot: str, nonce: str, ttl_ms: int) -> None:
    """Begin a lease for this boot of the node; Conflict while another boot's still runs."""
    row = connection.execute(
        "INSERT INTO node_leases (node, boot, nonce, previous_nonce, expires_at)"
        " VALUES (%(node)s, %(boot)s, %(nonce)s, %(nonce)s,"
        "   clock_timestamp() + %(ttl)s * interval '1 millisecond')"
        " ON CONFLICT (node) DO UPDATE SET boot = excluded.boot, nonce = excluded.nonce,"
        "   previous_nonce = excluded.nonce, expires_at = excluded.expires_at, lost = false"
        " WHERE (node_leases.boot = excluded.boot OR node_leases.expires_at < clock_timestamp())"
        "   AND NOT (node_leases.lost AND node_leases.nonce <> '')"  # its loss is being recorded
        " RETURNING node",
        {"node": node, "boot": boot, "nonce": nonce, "ttl": ttl_ms + MARGIN_MS},
    ).fetchone()
    if row is None:
        raise Conflict(
            "node_taken",
            f"another machine acts as node {node}: choose another name, or wait for its lease",
            node=node,
        )


def renew(
    connection: Connection, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int
) -> None:
    """Go on with a lease by its last nonce, or the one before if the answer was lost."""
    row = connection.execute(
        "UPDATE node_leases SET previous_nonce = %(nonce)s, nonce = %(fresh)s,"
        "   expires_at = clock_timestamp() + %(ttl)s * interval '1 millisecond'"
        " WHERE node = %(node)s AND boot = %(boot)s AND NOT lost"
        "   AND %(nonce)s IN (nonce, previous_nonce) AND expires_at > clock_timestamp()"
        " RETURNING node",
        {
            "node": node,
            "boot": boot,
            "nonce": nonce,
            "fresh": fresh,
            "ttl": ttl_ms + MARGIN_MS,
        },
    ).fetchone()
    if row is None:
        raise StaleWriter("stale_lease", "the lease is over: stop every seat, then register")


def expire(connection: Connection) -> list[tuple[str, str]]:
    """Close leases that ran out; all (node, boot) whose loss is not settled yet."""
    connection.execute(
        "UPDATE node_leases SET lost = true WHERE NOT lost AND expires_at < clock_timestamp()"
    )
    rows = connection.execute(
        "SELECT node, boot FROM node_leases WHERE lost AND nonce <> '' ORDER BY node"
    ).fetchall()
    return [(row["node"], row["boot"]) for row in rows]


def settle(connection: Connection, node: str, boot: str) -> None:
    """The loss is recorded in the log: do not report it again."""
    connection.execute(
        "UPDATE node_leases SET nonce = '', previous_nonce = ''"
        " WHERE node = %s AND boot = %s AND lost",
        (node, boot),
    )
