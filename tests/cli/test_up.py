"""`compute up`: becomes the server's process, or says what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

SERVER = "import json, os, sys; print(json.dumps([os.getpid(), *sys.argv[1:]]))\n"
PLAIN = ["--port", "8080", "--data", "data"]


def _start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without site files, so that no installed server is found: only what is in the folder."""
    path = f"{ROOT / 'cli'}:{sysconfig.get_path('purelib')}"
    with subprocess.Popen(
        [sys.executable, "-S", *words],
        cwd=folder, env={"PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        out, errors = running.communicate(timeout=20)
        if out:
            pid, *out_words = json.loads(out)
            assert pid == running.pid  # the same process: signals reach the server
            out = json.dumps(out_words)
        return subprocess.CompletedProcess(words, running.returncode, out, errors)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "__init__.py").write_text("raise RuntimeError('only -m may import')")
    (tmp_path / "infra" / "__init__.py").write_text("")
    (tmp_path / "infra" / "local.py").write_text(SERVER)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["compute_platform", "up"], PLAIN),
        (["compute_platform.main"], PLAIN),
        (["compute_platform.main", "up"], PLAIN),
        (["compute_platform.main", "--port", "9", "--data", "d"], ["--port", "9", "--data", "d"]),
        (
            ["compute_platform.main", "--fake-gpus", "2xA100", "--no-agent", "--new", "x"],
            [*PLAIN, "--fake-gpus", "2xA100", "--no-agent", "--new", "x"],
        ),
    ],
)
def test_becomes_the_server(installed: Path, words: list[str], options: list[str]) -> None:
    done = _start(installed, "-m", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == options


def test_says_when_there_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()  # another project's folder of that name
    done = _start(tmp_path, "-m", "compute_platform", "up")
    assert done.returncode == 2
    assert "server is not installed" in done.stderr
    assert "compute-platform-server" in done.stderr


def test_bad_port(installed: Path) -> None:
    assert _start(installed, "-m", "compute_platform.main", "--port", "99999").returncode == 2
