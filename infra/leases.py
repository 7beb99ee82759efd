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


def take(connection: Connection, node: str, boot: str, nonce: str, ttl_ms: int) -> str:
    """Begin a lease for this boot of the node; Conflict while another boot's still runs.

    Returns the session that seats are granted to: the boot and a nonce, kept until the lease is
    lost, so that a read model that lags cannot order what was lost with it.
    """
    row = connection.execute(
        "INSERT INTO node_leases (node, boot, session, nonce, previous_nonce, expires_at)"
        " VALUES (%(node)s, %(boot)s, %(session)s, %(nonce)s, %(nonce)s,"
        "   clock_timestamp() + %(ttl)s * interval '1 millisecond')"
        " ON CONFLICT (node) DO UPDATE SET boot = excluded.boot, nonce = excluded.nonce,"
        "   session = CASE WHEN node_leases.boot = excluded.boot AND NOT node_leases.lost"
        "     THEN node_leases.session ELSE excluded.session END,"
        "   previous_nonce = excluded.nonce, expires_at = excluded.expires_at, lost = false"
        " WHERE (node_leases.boot = excluded.boot OR node_leases.expires_at < clock_timestamp())"
        "   AND NOT (node_leases.lost AND node_leases.nonce <> '')"  # its loss is being recorded
        " RETURNING session",
        {
            "node": node,
            "boot": boot,
            "nonce": nonce,
            "session": f"{boot}/{nonce[:12]}",
            "ttl": ttl_ms + MARGIN_MS,
        },
    ).fetchone()
    if row is None:
        raise Conflict(
            "node_taken",
            f"another machine acts as node {node}: choose another name, or wait for its lease",
            node=node,
        )
    return str(row["session"])


def session(connection: Connection, node: str, boot: str) -> str:
    """The session of this boot of the node.

    Where it holds no lease, the boot itself, to which no seat is granted.
    """
    row = connection.execute(
        "SELECT session FROM node_leases WHERE node = %s AND boot = %s", (node, boot)
    ).fetchone()
    return boot if row is None else str(row["session"])


def of_boot(session: str, boot: str) -> bool:
    """Whether the session is one of this boot's."""
    return session == boot or session.startswith(f"{boot}/")


def renew(connection: Connection, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int) -> str:
    """Go on with a lease by its last nonce, or the one before if the answer was lost.

    Returns its session.
    """
    row = connection.execute(
        "UPDATE node_leases SET previous_nonce = %(nonce)s, nonce = %(fresh)s,"
        "   expires_at = clock_timestamp() + %(ttl)s * interval '1 millisecond'"
        " WHERE node = %(node)s AND boot = %(boot)s AND NOT lost"
        "   AND %(nonce)s IN (nonce, previous_nonce) AND expires_at > clock_timestamp()"
        " RETURNING session",
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
    return str(row["session"])


def expire(connection: Connection) -> list[tuple[str, str]]:
    """Close leases that ran out; all (node, session) whose loss is not settled yet."""
    connection.execute(
        "UPDATE node_leases SET lost = true WHERE NOT lost AND expires_at < clock_timestamp()"
    )
    rows = connection.execute(
        "SELECT node, session FROM node_leases WHERE lost AND nonce <> '' ORDER BY node"
    ).fetchall()
    return [(row["node"], row["session"]) for row in rows]


def settle(connection: Connection, node: str, session: str) -> None:
    """The loss is recorded in the log: do not report it again."""
    connection.execute(
        "UPDATE node_leases SET nonce = '', previous_nonce = ''"
        " WHERE node = %s AND session = %s AND lost",
        (node, session),
    )
