"""Completion in the shell: commands always, jobs when the server answers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.cell import Cell


def _complete(environment: dict[str, str], line: str, **settings: str) -> list[str]:
    words = line.split(" ")
    asked = {
        "_COMPUTE_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "compute_platform"],
        env={**environment, **asked, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.split()]


def test_commands(environment: dict[str, str]) -> None:
    assert _complete(environment, "compute su") == ["submit", "suspend"]
    assert "--project" in _complete(environment, "compute ps --pro")


def test_jobs(environment: dict[str, str], cell: Cell) -> None:
    job = cell.add(name="train")
    assert _complete(environment, "compute cancel tr") == ["train"]
    assert _complete(environment, f"compute logs {job['id'][:9]}") == [job["id"]]
    assert _complete(environment, f"compute why {job['id'][-8:-2]}") == [job["id"][-8:]]


@pytest.mark.parametrize(
    "settings",
    [{"COMPUTE_URL": ""}, {"COMPUTE_TOKEN": "wrong"}, {"COMPUTE_URL": "http://127.0.0.1:9"}],
)
def test_nothing_when_the_server_does_not_answer(
    environment: dict[str, str], cell: Cell, settings: dict[str, str]
) -> None:
    cell.add(name="train")
    assert _complete(environment, "compute cancel tr", **settings) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(environment: dict[str, str], shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "compute_platform"],
        env={**environment, "_COMPUTE_COMPLETE": f"{shell}_source"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "_COMPUTE_COMPLETE" in done.stdout
