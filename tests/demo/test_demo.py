"""`make demo` as a program: whole, and with each process killed at every moment of the story."""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

import psutil
import pytest

from demo.image import docker_answers
from tests.real_parts import need

TIMEOUT = 280


def run_demo(*options: str) -> str:
    """The output of a demonstration that held; everything it started is gone after it."""
    with TemporaryDirectory(prefix="demo-") as place:  # short: Postgres has its socket in it
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(("cli", ".")), "TMPDIR": place}
        done = subprocess.run(
            [sys.executable, "-m", "demo", *options],
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert running_in(place) == set(), "the demonstration leaves nothing running"
    return done.stdout


def running_in(place: str) -> set[str]:
    """Processes of a demonstration that keeps its files there; others may run beside it."""
    found = set()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or ())
        if place in line or (process.info["cwd"] or "").startswith(place):
            found.add(f"{process.pid} {line}")
    return found


@pytest.mark.parametrize("process", ["api", "processors", "agent"])
def test_the_story_holds_when_a_process_is_killed_at_every_moment(process: str) -> None:
    output = run_demo("--no-docker", "--seconds", "12", "--kill", process)
    assert output.count("(kill -9") == 4
    assert "Everything above was checked" in output


def test_the_story_holds_in_the_sandbox_and_in_containers() -> None:
    need(docker_answers(), "no Docker engine answers")
    output = run_demo()
    assert "The same once more in containers" in output
    assert "Everything above was checked" in output
