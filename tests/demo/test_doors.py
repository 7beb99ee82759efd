"""The doors a person uses first: `make up`, the older habits, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real_parts import need

TOP = Path(__file__).parents[2]
NOBODY = 65534
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], **options: object) -> Iterator[list[str]]:
    """A platform started by a command, once it printed how to reach it; stopped by Ctrl-C."""
    process = subprocess.Popen(
        command,
        cwd=TOP,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]  # passed through
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        while not any("compute queue" in line for line in lines):
            assert time.monotonic() < deadline, lines
            line = process.stdout.readline()
            assert line, f"it ended: {lines}"
            lines.append(line)
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


def exports(lines: list[str]) -> dict[str, str]:
    words = (line.removeprefix("export ").strip() for line in lines if line.startswith("export"))
    return dict(word.split("=", 1) for word in words)


def who_am_i(env: dict[str, str]) -> str:
    request = urllib.request.Request(
        f"{env['COMPUTE_URL']}/api/v1/whoami",
        headers={"Authorization": f"Bearer {env['COMPUTE_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may use."""

    path = Path(tempfile.mkdtemp(prefix="compute-door-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_the_development_server_prints_what_to_paste_and_keeps_its_data(folder: Path) -> None:
    tokens = []
    for _ in range(2):
        port = str(free_port())
        command = [sys.executable, "-m", "compute_platform.main", "--port", port]
        with running([*command, "--data", str(folder / "data")]) as lines:
            env = exports(lines)
            assert env["COMPUTE_URL"].endswith(port)
            assert "admin" in who_am_i(env)
            assert sum(line.startswith("  compute ") for line in lines) == 3
            tokens.append(env["COMPUTE_TOKEN"])
    assert tokens[0] == tokens[1], "the second start uses the data of the first"


def test_a_killed_database_comes_back_by_itself(folder: Path) -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "infra.local", "--port", port, "--data", str(folder / "data")]
    with running([*command, "--no-agent"]) as lines:
        env = exports(lines)
        killed = postmaster(folder)
        os.kill(int(killed), signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while (refusal := refused(env)) is not None or postmaster(folder) in ("", killed):
            if refusal is not None:
                assert refusal.code == 503
                assert refusal.headers["Retry-After"]
            assert time.monotonic() < deadline


def postmaster(folder: Path) -> str:
    """The process that serves the data, or did before it died; none while another takes over."""
    try:
        return (folder / "data/postgres/postmaster.pid").read_text().partition("\n")[0]
    except FileNotFoundError:
        return ""


def refused(env: dict[str, str]) -> urllib.error.HTTPError | None:
    """How the platform refuses to say who one is; None when it answers."""
    try:
        who_am_i(env)
    except urllib.error.HTTPError as error:
        error.close()
        return error
    return None


def test_up_works_without_root(folder: Path) -> None:
    need(os.geteuid() == 0, "only root can become another user")
    env = {
        **os.environ,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join((str(TOP), sysconfig.get_path("purelib"))),
    }
    pythons = [p for p in (sys.executable, "/usr/bin/python3") if can_run(p, env)]
    need(bool(pythons), "no Python with this environment's version that others may run")
    port, data = str(free_port()), str(folder / "data")
    command = [pythons[0], "-m", "infra.local", "--port", port, "--data", data]
    with running([*command, "--no-agent"], user=NOBODY, group=NOBODY, env=env) as lines:
        assert "admin" in who_am_i(exports(lines))


def can_run(python: str, env: dict[str, str]) -> bool:
    """Whether an ordinary user can run the platform with this interpreter."""
    try:
        done = subprocess.run(
            [python, "-c", "import infra.local"],
            cwd=TOP,
            env=env,
            user=NOBODY,
            group=NOBODY,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def test_a_port_in_use_is_said_plainly(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "infra.local", "--port", port, "--data", str(folder)]
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"port {port} is in use" in done.stderr
