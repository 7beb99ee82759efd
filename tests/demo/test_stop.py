"""Ctrl-C on the platform: jobs save and leave, nothing of them goes on, the next start resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_platform.client import Client
from tests.demo.test_doors import exports, free_port, running

SAVES = """
saved=$COMPUTE_CHECKPOINT_DIR/n
n=$(cat $saved 2>/dev/null || echo 0)
echo from $n
trap 'echo $n >$saved; echo saved $n; exit 0' TERM
while true; do n=$((n+1)); sleep 0.0{mark}; done
"""
STUBBORN = "trap '' TERM; echo stubborn; while true; do sleep 0.0{mark}; done"


@pytest.fixture
def command() -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="compute-stop-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        words = [sys.executable, "-m", "infra.local", "--data", f"{folder}/data"]
        yield [*words, "--port", str(free_port()), "--node", "one", "--fake-gpus", "1xA100"]


def client(lines: list[str]) -> Client:
    env = exports(lines)
    return Client(env["COMPUTE_URL"], env["COMPUTE_TOKEN"], patience=30)


def submit(client: Client, script: str, **more: object) -> str:
    job = {"name": "j", "project_id": "ml-research", "command": ["sh", "-c", script], **more}
    return str(client.submit(job)["id"])


def until_printed(client: Client, job: str, text: bytes) -> bytes:
    deadline = time.monotonic() + 40
    while text not in (output := b"".join(client.logs(job))):
        assert time.monotonic() < deadline, output
        time.sleep(0.1)
    return output


def alive(mark: int) -> str:
    found = subprocess.run(["pgrep", "-fa", f"0.0{mark}"], capture_output=True, check=False)
    return found.stdout.decode()


def test_jobs_save_when_the_platform_stops_and_go_on_when_it_starts(command: list[str]) -> None:
    mark = 10_000 + os.getpid()
    with running(command) as lines:
        first = client(lines)
        job = submit(
            first, SAVES.replace("{mark}", str(mark)), checkpointing={"enable_checkpointing": True}
        )
        until_printed(first, job, b"from 0\n")
        time.sleep(1)
    assert alive(mark) == ""
    with running(command) as lines:
        second = client(lines)
        until_printed(second, job, b"saved")
        output = until_printed(second, job, b"from 0\nsaved")
        deadline = time.monotonic() + 40
        while output.count(b"from") < 2:
            assert time.monotonic() < deadline, (output, second.why(job))
            time.sleep(0.2)
            output = b"".join(second.logs(job))
        saved = int(output.split(b"saved ")[1].split()[0])
        assert saved > 0
        assert b"from %d\n" % saved in output
        assert second.job(job)["attempt"] == 2
        second.cancel(job)


def test_a_second_ctrl_c_waits_for_nobody(command: list[str]) -> None:
    mark = 20_000 + os.getpid()
    with running(command) as lines:
        platform = client(lines)
        job = submit(platform, STUBBORN.replace("{mark}", str(mark)), grace_seconds=50)
        until_printed(platform, job, b"stubborn")
        processes = subprocess.run(
            ["pgrep", "-f", f"infra.local --data {command[4]}"], capture_output=True, check=False
        )
        os.kill(int(processes.stdout.split()[0]), signal.SIGINT)
        time.sleep(1.5)
        assert alive(mark), "it has its grace"
    assert alive(mark) == "", "the second one ended it"
