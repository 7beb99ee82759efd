"""Snapshots of the scheduler's state beside the log, so that a take-over reads only its end."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib

import msgspec
import psycopg

from domain.scheduling.saved import Saved, pack, unpack
from domain.scheduling.snapshot import FOLD, Snapshot
from infra.collector import unhindered

KEPT = 4
"""So many snapshots are kept; older ones are deleted when a new one is saved."""
log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(Saved)


def form() -> str:
    """What a state must have been written by to be read: its schema and the fold's version."""
    schema = json.dumps(msgspec.json.schema(Saved), sort_keys=True)
    return f"{FOLD}-{hashlib.sha256(schema.encode()).hexdigest()[:32]}"


class Snapshots:
    """The table `scheduler_snapshots`. Nothing depends on it: what does not fit is passed over."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._form = form()

    def save(self, snapshot: Snapshot) -> None:
        """Keep the state as it is at its position."""
        state = zlib.compress(msgspec.json.encode(pack(snapshot)), 1)
        digest = _digest(snapshot.position, self._form, state)
        with psycopg.connect(self._dsn, connect_timeout=3) as connection:
            connection.execute(
                "INSERT INTO scheduler_snapshots (position, form, digest, state)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (position) DO UPDATE SET"
                " form = excluded.form, digest = excluded.digest, state = excluded.state,"
                " saved_at = clock_timestamp()",
                (snapshot.position, self._form, digest, state),
            )
            connection.execute(
                "DELETE FROM scheduler_snapshots WHERE position NOT IN"
                " (SELECT position FROM scheduler_snapshots ORDER BY position DESC LIMIT %s)",
                (KEPT,),
            )

    def newest(self, most: int) -> Snapshot:
        """The newest state that fits at a position up to `most`, else the empty one.

        Those of another version or with a wrong digest are passed over with a line in the log.
        """
        with psycopg.connect(self._dsn, connect_timeout=3) as connection:
            found = connection.execute(
                "SELECT position, form, digest FROM scheduler_snapshots WHERE position <= %s"
                " ORDER BY position DESC",
                (most,),
            ).fetchall()
            for position, written, digest in found:
                if written != self._form:
                    log.warning("the snapshot at %s is another version's: passed over", position)
                    continue
                row = connection.execute(
                    "SELECT state FROM scheduler_snapshots WHERE position = %s", (position,)
                ).fetchone()
                state = bytes(row[0]) if row else b""
                if _digest(position, written, state) != digest:
                    log.error("the snapshot at %s is damaged: passed over", position)
                    continue
                snapshot = decode(state)
                if snapshot is not None and snapshot.position == position:
                    return snapshot
        return Snapshot()


def decode(state: bytes) -> Snapshot | None:
    """The snapshot of a saved state, None with a line in the log if it cannot be read."""
    try:
        with unhindered():
            return unpack(_decoder.decode(zlib.decompress(state)))
    except (msgspec.DecodeError, zlib.error, ValueError) as error:
        log.error("a snapshot cannot be read and is passed over: %s", error)
        return None


def _digest(position: int, written: str, state: bytes) -> str:
    found = hashlib.sha256(f"{position} {written} ".encode())
    found.update(state)
    return found.hexdigest()
