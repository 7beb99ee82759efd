"""Room on the disk of the database: commands are refused before Postgres itself has to stop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from domain.errors import Unavailable

ASK_SECONDS = 5.0
"""How long an answer of the database about its disk is good for."""
RETRY_AFTER_SECONDS = 30
FUNCTION = "compute_free_bytes()"
"""What an operator may install (infra/deploy/postgres/free_space.sql) where the disk is remote."""
log = logging.getLogger(__name__)
Connect = Callable[[], Any]


class Space:
    """How much room the database has left, and whether that is enough to take commands.

    `folder` is where the database's files lie on this machine; without it the database is asked,
    if it has the function. `reserve` is how many bytes must be left; 0 switches the check off.
    """

    def __init__(self, folder: Path | None, reserve: int, connect: Connect) -> None:
        self._folder = folder
        self._reserve = reserve
        self._connect = connect
        self._lock = threading.Lock()
        self._asked_at = -ASK_SECONDS
        self._answer: int | None = None
        self._said = False

    @property
    def reserve(self) -> int:
        return self._reserve

    def free(self) -> int | None:
        """Bytes that are free, or None where that cannot be known."""
        if self._folder is not None:
            return self._on_this_machine(self._folder)
        with self._lock:
            if time.monotonic() - self._asked_at >= ASK_SECONDS:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def short(self) -> bool:
        """Whether less is free than must be."""
        if self._reserve == 0:
            return False
        free = self.free()
        return free is not None and free < self._reserve

    def check(self) -> None:
        """Go on if there is room, else Unavailable: nothing was changed."""
        if self.short():
            detail = "the disk of the database is nearly full: only reads are answered"
            raise Unavailable("disk_nearly_full", detail, retry_after_seconds=RETRY_AFTER_SECONDS)

    def _on_this_machine(self, folder: Path) -> int | None:
        """The least of what is free for the files and for the write-ahead log."""
        try:
            places = [os.statvfs(path) for path in (folder, folder / "pg_wal") if path.exists()]
        except OSError as error:
            self._say(f"the folder of the database cannot be looked at: {error}")
            return None
        if not places:
            self._say(f"there is no folder {folder}")
            return None
        return min(place.f_bavail * place.f_frsize for place in places)

    def _ask(self) -> int | None:
        try:
            with self._connect() as connection:
                row = connection.execute(
                    "SELECT to_regprocedure(%s) IS NOT NULL"
                    " AND has_function_privilege(to_regprocedure(%s)::oid, 'EXECUTE') AS may",
                    (FUNCTION, FUNCTION),
                ).fetchone()
                if not row["may"]:
                    self._say(f"there is no {FUNCTION} that this role may call")
                    return None
                found = connection.execute("SELECT compute_free_bytes() AS free").fetchone()
                return int(found["free"])
        except psycopg.OperationalError:
            return self._answer
        except psycopg.Error as error:
            self._say(f"{FUNCTION}: {error}")
            return None

    def _say(self, why: str) -> None:
        if not self._said and self._reserve:
            self._said = True
            log.warning("room on the database's disk is not watched: %s", why)
