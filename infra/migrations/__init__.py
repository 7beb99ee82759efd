"""The numbered SQL files, and the runner that applies them once each."""

from __future__ import annotations

import hashlib
from importlib import resources

import psycopg

_LOCK = 0x636F6D70  # "comp": one migration at a time per database

_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class ChangedMigration(RuntimeError):
    """An applied file was edited; write a new one instead."""


def migrate(dsn: str) -> list[str]:
    """Apply the files not yet applied, in order, all in one transaction; returns their names.

    Raises ChangedMigration if a file differs from what was applied under its name.
    """
    files = sorted(
        (f for f in resources.files(__package__).iterdir() if f.name.endswith(".sql")),
        key=lambda f: f.name,
    )
    done: list[str] = []
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLE)
        applied: dict[str, str] = dict(
            connection.execute("SELECT name, checksum FROM migrations").fetchall()
        )
        for file in files:
            text = file.read_text()
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if file.name not in applied:
                connection.execute(text.encode())
                connection.execute(
                    "INSERT INTO migrations (name, checksum) VALUES (%s, %s)",
                    (file.name, checksum),
                )
                done.append(file.name)
            elif applied[file.name] != checksum:
                raise ChangedMigration(f"{file.name} was applied with other content")
    return done
