"""A cell that answers over HTTP, and the command run against it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compute_platform.client import Client
from compute_platform.main import command
from tests.cli.cell import Cell
from tests.cli.server import serving

ROOT = Path(__file__).parents[2]
Compute = Callable[..., Result]
Process = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def cell() -> Cell:
    return Cell()


@pytest.fixture
def url(cell: Cell) -> Iterator[str]:
    with serving(cell) as address:
        yield address


@pytest.fixture
def environment(url: str) -> dict[str, str]:
    """What a person has set, and nothing of who runs the tests."""
    return {
        "COMPUTE_URL": url,
        "COMPUTE_TOKEN": "secret",
        "COLUMNS": "100",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT / "cli"), str(ROOT)]),
    }


@pytest.fixture
def compute(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Compute:
    """Run `compute WORDS` in this process; its result."""
    monkeypatch.delenv("COMPUTE_PROJECT", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*words: str, text: str | None = None, **settings: str | None) -> Result:
        env = {**environment, **settings}
        return CliRunner().invoke(command, words, input=text, env=env, prog_name="compute")

    return run


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[Process]:
    """Start `compute WORDS` as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **settings: str) -> subprocess.Popen[bytes]:
        running = subprocess.Popen(
            [sys.executable, "-m", "compute_platform", *words],
            env={**environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(running)
        return running

    yield start
    for running in started:
        if running.poll() is None:
            running.kill()
        running.communicate()


@pytest.fixture
def client(url: str) -> Client:
    return Client(url, "secret", patience=5)
