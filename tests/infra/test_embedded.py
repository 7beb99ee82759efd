"""The embedded server, stopped while it dies by itself."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psycopg

from infra.embedded import Embedded, postgres

STOP_IS_WAITING_SECONDS = 1.5


def test_a_server_that_dies_while_it_is_being_stopped_has_stopped(tmp_path: Path) -> None:
    (folder := tmp_path / "pg").mkdir()
    server = Embedded(folder)
    pid = server._server.get_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # it cannot do as it is asked
    death = threading.Timer(STOP_IS_WAITING_SECONDS, os.kill, [pid, signal.SIGKILL])
    death.start()
    server.stop()
    death.join()
    with postgres(folder) as again, psycopg.connect(again.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
