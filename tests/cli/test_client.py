"""The Python client, as docs/cli.md shows it."""

from __future__ import annotations

import re
import threading
import tomllib

import pytest

import compute_platform
from compute_platform.client import Client
from compute_platform.errors import NotFound, StillWaiting
from tests.cli.cell import RUNNING, Cell, ended
from tests.cli.conftest import ROOT


def test_example_of_the_documentation(
    cell: Cell, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COMPUTE_URL", "COMPUTE_TOKEN"):
        monkeypatch.setenv(name, environment[name])
    cell.scripts["train"] = [{**RUNNING, "log": b"hello\n"}, ended("failed", 3)]
    running = threading.Thread(target=_let_run, args=(cell, "train"))
    running.start()
    text = (ROOT / "docs/cli.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    names: dict[str, object] = {}
    exec(example[1], names)
    running.join()
    assert names["code"] == 3
    assert names["output"] == b"hello\n"


def _let_run(cell: Cell, name: str) -> None:
    """Take the job's script to its end, as time would."""
    while cell.scripts[name]:
        with cell.changed:
            for job in list(cell.jobs):
                cell.look(job)
            cell.changed.wait(0.01)


def test_life_of_a_job(client: Client, cell: Cell) -> None:
    job = client.submit({"name": "x", "project_id": "p", "command": ["true"]})
    assert [found["id"] for found in client.jobs(phases=["queued"], project="p")["items"]] == [
        job["id"]
    ]
    assert client.why(job["id"])["reason"] is not None
    with pytest.raises(StillWaiting):
        client.wait(job["id"], timeout=0)
    assert client.cancel(job["id"])["phase"] == "cancelled"
    assert client.wait(job["id"])["phase"] == "cancelled"
    with pytest.raises(NotFound):
        client.job("job-x")
    assert client.pools()[0]["free"]["gpu"] == 1
    assert client.nodes()[0]["id"] == "node-001"
    assert client.queue()["total"] == 0
    assert cell.requests


def test_version_is_the_distributions() -> None:
    project = tomllib.loads((ROOT / "cli/pyproject.toml").read_text())["project"]
    assert project["version"] == compute_platform.__version__
