"""The database role of the running services: on the log it may add and read, nothing else.

`python -m infra.roles` migrates and grants with COMPUTE_OWNER_URL, a DSN of the role that owns the
tables; the services then run with a DSN of the role `compute_service`.
"""

from __future__ import annotations

import sys

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from infra.migrations import migrate
from infra.settings import Settings

SERVICE = "compute_service"
LOG_COLUMNS = ("originator_id", "originator_version", "topic", "state", "recorded_at")
"""What an append gives; the position is the sequence's alone, so that no gap can be filled."""
ADDED_ONLY = ("idempotency", "tree_heads", "tree_tiles")
READ_ONLY = ("migrations",)
VIEWS = ("view_", "history_")
"""Read models, which the services make, exchange and drop, begin with one of these."""
NOT_VIEWS = ("view_positions", "view_rebuilds", "history_horizon")
_LOCK = 0x726F6C65  # "role": one at a time


def grant(dsn: str) -> str:
    """Give the service role exactly what it needs in this database; the DSN to run services with.

    `dsn` is the owner's. Makes the role if there is none, without a password: whoever runs the
    server sets one (docs/audit-log.md). Run it after each migration.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        role, run = Identifier(SERVICE), connection.execute
        if not run("SELECT 1 FROM pg_roles WHERE rolname = %s", (SERVICE,)).fetchone():
            run(SQL("CREATE ROLE {} LOGIN").format(role))
        run(SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(role))
        found = run(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname = 'public' AND tableowner = current_user ORDER BY tablename"
        ).fetchall()
        for (name,) in found:
            table = Identifier(name)
            run(SQL("REVOKE ALL ON {} FROM {}, PUBLIC").format(table, role))
            if name == "stored_events" or name.startswith("stored_events_"):
                columns = SQL(", ").join(map(Identifier, LOG_COLUMNS))
                run(SQL("GRANT SELECT, INSERT ({}) ON {} TO {}").format(columns, table, role))
            elif name in ADDED_ONLY:
                run(SQL("GRANT SELECT, INSERT ON {} TO {}").format(table, role))
            elif name in READ_ONLY:
                run(SQL("GRANT SELECT ON {} TO {}").format(table, role))
            elif name.startswith(VIEWS) and name not in NOT_VIEWS:
                run(SQL("ALTER TABLE {} OWNER TO {}").format(table, role))
            else:
                run(SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table, role))
        run(SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(role))
    return make_conninfo(dsn, user=SERVICE)


def main() -> None:
    """Migrate and grant."""
    owner = Settings().owner_url
    if not owner:
        sys.exit("set COMPUTE_OWNER_URL to a Postgres DSN of the role that owns the tables")
    migrate(owner)
    grant(owner)


if __name__ == "__main__":
    main()
