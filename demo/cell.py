"""The platform as the demonstration runs it: started as a person would, stopped at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from compute_platform.client import Client

READY_SECONDS = 60.0


class Platform:
    """`compute up` on a free port with its data in `folder`; a context manager.

    `options` are further ones of `compute up`; `settings` go into its environment.
    """

    def __init__(
        self,
        folder: Path,
        fake_gpus: str = "2xA100",
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = _free_port()
        command = [sys.executable, "-m", "compute_platform.main", "--port", str(self.port)]
        command += ["--data", str(folder), "--fake-gpus", fake_gpus, *options]
        # the sandbox hides /tmp, where this checkout may lie: seats get to read the demonstration
        env = {**os.environ, "COMPUTE_AGENT_EXPOSE": str(Path(__file__).parent), **(settings or {})}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self._ready = threading.Event()
        self._exports: dict[str, str] = {}
        assert self._process.stdout is not None
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self) -> Client:
        """A client with the token that the platform printed."""
        return Client(*self.credentials(), patience=60.0)

    def credentials(self) -> tuple[str, str]:
        """The address and the token, once the platform has printed them."""
        if not self._ready.wait(READY_SECONDS):
            raise RuntimeError(f"the platform did not start; see {self.folder}/logs")
        return self._exports["COMPUTE_URL"], self._exports["COMPUTE_TOKEN"]

    def kill(self, name: str) -> None:
        """kill -9 one of its processes: api, processors or agent. It is started again."""
        pid = int((self.folder / "logs" / f"{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop everything and wait for it."""
        self._process.terminate()
        self._process.wait(60)

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                self._exports[name] = value
            if "COMPUTE_TOKEN" in self._exports:
                self._ready.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
