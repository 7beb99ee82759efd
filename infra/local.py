"""`python -m infra.local`: the whole platform on one machine, until Ctrl-C.

Starts the embedded Postgres (or uses COMPUTE_DATABASE_URL), then API, processors and one agent
as processes of their own, and starts each again when it ends.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.access import Role
from infra.bootstrap import begin, token_in
from infra.embedded import postgres
from infra.leave import OwnNode
from infra.migrations import migrate
from infra.roles import grant
from infra.settings import ALARM_CODE
from infra.store import Store

STOP_SECONDS = 10.0
RESTART_SECONDS = 0.5
TRY = """
  compute run --project ml-research -- echo hello
  compute nodes
  compute queue --why
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="compute up", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--data", type=Path, default=Path("data"), help="kept between runs")
    parser.add_argument("--fake-gpus", default="", help="GPUs to pretend, such as 2xA100")
    parser.add_argument("--node", default=socket.gethostname().split(".")[0].lower() or "node")
    parser.add_argument("--no-agent", action="store_true", help="no agent on this machine")
    parser.add_argument(
        "--agent-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="passed on to the agent, such as --agent-option=--runners=process",
    )
    return parser.parse_args()


class Stop:
    """Ctrl-C: asked for once; a second time means at once."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurry = False

    def ask(self) -> None:
        """A signal came."""
        self.hurry = self.asked.is_set()
        self.asked.set()


class Child:
    """One process of the platform, started again whenever it ends."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], logs: Path) -> None:
        self.name = name
        self._command = command
        self._env = {**os.environ, **env}
        self._log = logs / f"{name}.log"
        self._pid_file = logs / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = 0.0
        self._told = False

    def keep(self) -> None:
        """Start it if it does not run; a process that ends at once is not started in a rush."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and self._ended_at == 0.0:
            self._ended_at = time.monotonic()
            self._tell(self._process.returncode)
        if time.monotonic() - self._ended_at < RESTART_SECONDS:
            return
        self._ended_at = 0.0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        self._pid_file.write_text(f"{self._process.pid}\n")

    def _tell(self, code: int) -> None:
        """Say once that it ended with an alarm; what it was is in its log."""
        if code == ALARM_CODE and not self._told:
            self._told = True
            print(f"ALARM: {self.name} found the event log tampered with: {self._log}", flush=True)

    def stop(self) -> None:
        """Ask it to end, and make it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pid_file.unlink(missing_ok=True)


def given_database() -> str:
    """The DSN of a database that is not ours to run, or nothing."""
    return os.environ.get("COMPUTE_DATABASE_URL", "")


@contextmanager
def database(data: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """The DSN that is set, or that of the embedded server; and what keeps the server running."""
    given = given_database()
    if given:
        yield given, lambda: None
    else:
        with postgres(data / "postgres") as server:
            yield server.dsn, server.keep


def _migrated(dsn: str) -> str:
    """Bring the tables up to date; the DSN for the services.

    On the embedded server, and with COMPUTE_OWNER_URL, the services run in a role that can only
    add to the log and read it. An owner's DSN in COMPUTE_DATABASE_URL goes on as it is.
    """
    given = given_database()
    owner = os.environ.pop("COMPUTE_OWNER_URL", "") or dsn  # no child inherits it
    migrate(owner)
    if owner == dsn and given:
        return dsn
    services = grant(owner)
    return dsn if given else services


def children(options: argparse.Namespace, dsn: str, agent_token: Path) -> list[Child]:
    """The processes of the platform; secrets go by environment and file, never by argument."""
    data, python = options.data, sys.executable
    url = f"http://{options.host}:{options.port}"
    server = {
        "COMPUTE_DATABASE_URL": dsn,
        "COMPUTE_HOST": options.host,
        "COMPUTE_PORT": str(options.port),
        "COMPUTE_DATA": str(data),
        "COMPUTE_WITNESS": os.environ.get("COMPUTE_WITNESS") or str(data / "witness"),
        **({} if given_database() else {"COMPUTE_DATABASE_FOLDER": str(data / "postgres")}),
    }
    found = [
        Child("api", [python, "-m", "api"], server, data / "logs"),
        Child("processors", [python, "-m", "processors"], server, data / "logs"),
    ]
    if not options.no_agent:
        command = [python, "-m", "agents", "--url", url, "--token-file", str(agent_token)]
        command += ["--node", options.node, "--data", str(data / "agent")]
        command += ["--objects", str(data / "objects"), "--stop-seats"]
        if options.fake_gpus:
            command += ["--fake-gpus", options.fake_gpus]
        command += options.agent_option
        hidden = {"COMPUTE_DATABASE_URL": "", "COMPUTE_KAFKA_PASSWORD": ""}
        found.append(Child("agent", command, hidden, data / "logs"))
    return found


def main() -> None:
    """Run until a signal; exit 0."""
    options = arguments()
    options.data = options.data.absolute()
    (options.data / "logs").mkdir(parents=True, exist_ok=True)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.ask())
    with socket.socket() as probe:
        if probe.connect_ex((options.host, options.port)) == 0:
            sys.exit(f"port {options.port} is in use: choose another with --port (PORT= with make)")
    with database(options.data) as (dsn, keep):
        dsn = _migrated(dsn)
        store = Store(dsn)
        begin(store)
        token = token_in(store, options.data / "token", "admin", Role.ADMIN)
        agent_token = options.data / "agent-token"
        token_in(store, agent_token, "local-agent", Role.AGENT)
        store.close()
        running = children(options, dsn, agent_token)
        own = OwnNode(f"http://{options.host}:{options.port}", token, options.node)
        try:
            _run(options, running, keep, token, stop, own)
            if not options.no_agent:
                own.leave(lambda: stop.hurry)
        finally:
            own.close()
            for child in reversed(running):
                child.stop()


def _run(
    options: argparse.Namespace,
    running: list[Child],
    keep_database: Callable[[], object],
    token: str,
    stop: Stop,
    own: OwnNode,
) -> None:
    told, back = False, options.no_agent
    while not stop.asked.wait(0.1):
        keep_database()
        for child in running:
            child.keep()
        if not told and _takes(options.host, options.port, token):
            told = True
            print(f"export COMPUTE_URL=http://{options.host}:{options.port}")
            print(f"export COMPUTE_TOKEN={token}")
            print(f"# paste the two lines above into a shell, then try:\n{TRY}", flush=True)
        back = back or (told and own.come_back())
    print("stopping", flush=True)


def _takes(host: str, port: int, token: str) -> bool:
    """Whether the API answers and knows the token, which it learns from a read model."""
    api = http.client.HTTPConnection(host, port, timeout=2)
    try:
        api.request("GET", "/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
        return api.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        api.close()


if __name__ == "__main__":
    main()
