"""A cell of real processes on a real database, each of which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from domain.access import Role
from domain.job.transitions import ENDED
from infra.bootstrap import FIRST_PROJECT, begin, token_in
from infra.store import Store
from tests.demo.test_doors import free_port

TOP = Path(__file__).parents[2]
PATIENCE = 120.0
TTL_MS = 6000
UNSET = ("COMPUTE_KAFKA", "COMPUTE_FAILPOINT", "COMPUTE_FOLLOW")


def until(look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true answer; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.02)
    return found


class RealCell:
    """API, processors and an agent; jobs tell in `folder/runs` that they ran.

    Agents started later have these `runners`, and this Docker `engine` (its address); an API gives
    leases of `ttl_ms`.
    """

    def __init__(self, dsn: str, folder: Path, host: str = "127.0.0.1") -> None:
        self.dsn, self.folder = dsn, folder
        self.store = Store(dsn)
        begin(self.store)
        self.port = free_port()
        self.host = host
        self.url = f"http://{host}:{self.port}"
        self.runners, self.engine = "process", ""
        self.ttl_ms = TTL_MS
        self.runs = folder / "runs"
        self.runs.mkdir()
        admin = token_in(self.store, folder / "admin", "admin", Role.ADMIN)
        token_in(self.store, folder / "agent-token", "agent", Role.AGENT)
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {admin}"},
            timeout=10,
            trust_env=False,
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._submitted = 0

    def close(self) -> None:
        """Kill every process, and what an agent left running."""
        for name in list(self.processes):
            self.kill(name)
        self._http.close()
        self.store.close()

    # processes

    def start(self, name: str, failpoint: str = "", prefix: tuple[str, ...] = ()) -> int:
        """Start `api`, `agent`, `agent-2`... or a list of processors; its process id.

        `agent-2.other` is another that calls itself node-2, with a folder of its own.
        """
        agent = name.startswith("agent")
        words: tuple[str, ...] = ("api",) if name == "api" else ("processors", *name.split())
        if agent:
            words = ("agents", *self._agent(name.partition("-")[2] or "1"))
        env = {key: value for key, value in os.environ.items() if key not in UNSET}
        env |= {
            "COMPUTE_DATABASE_URL": "" if agent else self.dsn,
            "COMPUTE_HOST": self.host,
            "COMPUTE_PORT": str(self.port),
            "COMPUTE_DATA": str(self.folder),
            "COMPUTE_LEASE_TTL_MS": str(self.ttl_ms),
            "COMPUTE_FAILPOINT": failpoint,
        }
        if self.engine:
            env["DOCKER_HOST"] = self.engine
        with (self.folder / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                [*prefix, sys.executable, "-m", *words], cwd=TOP, env=env, stdout=log, stderr=log
            )
        self.processes[name] = started
        return started.pid

    def _agent(self, number: str) -> tuple[str, ...]:
        data, token = str(self.folder / f"agent-{number}"), str(self.folder / "agent-token")
        node = f"node-{number.partition('.')[0]}"
        where = ("--url", self.url, "--token-file", token, "--node", node, "--data", data)
        return (*where, "--runners", self.runners, "--cpu", "4", "--memory", "4Gi")

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def died_there(self, name: str) -> bool:
        """Whether the process came to its failpoint."""
        code = self.processes[name].poll()
        if code is None:
            return False
        assert code == -signal.SIGKILL, (self.folder / f"{name}.log").read_text()[-3000:]
        return True

    # people

    def answers(self) -> bool:
        """Whether the API knows its admin."""
        try:
            return self._http.get("/whoami").status_code == 200
        except httpx.TransportError:
            return False

    def try_to_submit(self, name: str, **fields: Any) -> httpx.Response | None:
        """POST /jobs under the name as key; None where no answer came."""
        script = f"echo $COMPUTE_ATTEMPT >> {self.runs / name}; {fields.pop('script', 'true')}"
        body = {
            "name": name,
            "project_id": FIRST_PROJECT,
            "command": ["/bin/sh", "-c", script],
            "resources": {"cpu": "500m", "memory": "64Mi"},
            **fields,
        }
        try:
            return self._http.post("/jobs", json=body, headers={"Idempotency-Key": name})
        except httpx.TransportError:
            return None

    def submit(self, name: str, **fields: Any) -> str:
        """Submit until it is acknowledged; the job's id."""

        def once() -> str:
            answer = self.try_to_submit(name, **dict(fields))
            if answer is None or answer.status_code == 503:
                return ""
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        found: str = until(once, f"{name} is acknowledged")
        return found

    def post(self, path: str) -> None:
        """A command without a body, until it is answered."""

        def once() -> bool:
            try:
                return self._http.post(path, json={}).status_code < 500
            except httpx.TransportError:
                return False

        until(once, f"{path} is answered")

    def ask_to_move(self, job: str, to: str, key: str) -> httpx.Response | None:
        """POST /jobs/{job}/migrate under the key; None where no answer came."""
        try:
            headers = {"Idempotency-Key": key}
            return self._http.post(f"/jobs/{job}/migrate", json={"to": to}, headers=headers)
        except httpx.TransportError:
            return None

    def job(self, job: str) -> dict[str, Any]:
        """The job as the API shows it; empty where it does not answer."""
        try:
            answer = self._http.get(f"/jobs/{job}")
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found

    def ended(self, job: str) -> dict[str, Any]:
        """The job once it has ended."""
        last = {}

        def look() -> dict[str, Any]:
            last.update(self.job(job))
            return last if last.get("phase") in {phase.value for phase in ENDED} else {}

        try:
            found: dict[str, Any] = until(look, "it ended")
        except AssertionError:
            logs = {p.name: p.read_text()[-1500:] for p in self.folder.glob("*.log")}
            raise AssertionError(f"{last}\n{logs}") from None
        return found

    def log(self, job: str) -> str:
        """What the job printed, as the API has it."""
        answer = self._http.get(f"/jobs/{job}/logs")
        assert answer.status_code == 200, answer.text
        return answer.text

    def counted(self, series: str) -> float:
        """A series of the API's metrics; 0 where there is none yet."""
        answer = self._http.get("/metrics")
        assert answer.status_code == 200, answer.text
        found = (line.rpartition(" ") for line in answer.text.splitlines())
        return sum(float(value) for name, _, value in found if name == series)

    def attempts_run(self, name: str) -> list[str]:
        """The attempts whose command ran, as the job itself wrote them down."""
        file = self.runs / name
        return file.read_text().split() if file.exists() else []
