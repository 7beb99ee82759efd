"""Postgres servers of a test's own, which it may kill, stop, copy and promote."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from infra import embedded
from tests.demo.test_doors import free_port

NOBODY = 65534
BIN = next(embedded._PACKAGE.parent.rglob("pg_basebackup")).parent


class Server:
    """A Postgres on loopback, started by hand as the user who owns its files."""

    def __init__(self, folder: Path) -> None:
        self.data, self.port = folder, free_port()
        self.dsn = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def run(self, program: str, *words: str) -> None:
        """One of Postgres's own programs, as an ordinary user."""
        owner = self.data.parent.stat() if os.geteuid() == 0 else None
        done = subprocess.run(
            [str(BIN / program), *words],
            capture_output=True,
            text=True,
            check=False,
            user=None if owner is None else owner.st_uid,
            group=None if owner is None else owner.st_gid,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, **settings: str) -> None:
        given = {"port": str(self.port), "listen_addresses": "127.0.0.1", **settings}
        given["unix_socket_directories"] = ""
        options = " ".join(f"-c {name}='{value}'" for name, value in given.items())
        log = str(self.data.parent / f"{self.data.name}.log")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", options, "start")

    def make(self) -> None:
        """An empty server; root makes the folder above somebody else's."""
        if os.geteuid() == 0:
            os.chown(self.data.parent, NOBODY, NOBODY)
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust")

    def pid(self) -> int:
        """The postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")
