"""What people see: the text of every listing at 100 and 80 columns, and what it says with none.

COMPUTE_UPDATE_GOLDEN=1 writes the files anew; read them before committing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cell import NOW, QUEUED, RUNNING, SHORT_OF_GPUS, STARTED, SUBMITTED, Cell, ended
from tests.cli.conftest import Compute

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "ps": ["ps"],
    "ps-all": ["ps", "-a"],
    "job": ["job", "gpt-large"],
    "why": ["why", "gpt-large"],
    "why-quick": ["why", "gpt-large", "--quick"],
    "queue": ["queue"],
    "queue-waits": ["queue", "--waits"],
    "queue-why": ["queue", "--why"],
    "nodes": ["nodes"],
    "node": ["node", "show", "node-001"],
    "reservations": ["reservations", "list", "--all"],
    "pools": ["pools"],
    "usage": ["usage"],
    "cost": ["cost", "--by", "project"],
    "projects": ["projects"],
    "project": ["project", "show", "ml-research"],
    "tokens": ["token", "list"],
    "whoami": ["whoami"],
    "policy": ["policy", "show"],
    "policy-scheduler": ["policy", "show", "scheduler"],
    "prices": ["policy", "show", "prices"],
    "events": ["events"],
    "views": ["admin", "views"],
    "audit-replay": ["audit", "replay"],
    "audit-explain": ["audit", "explain", "gpt-large"],
    "audit-whatif": ["audit", "whatif"],
    "quarantine": ["admin", "quarantine", "list"],
}


@pytest.fixture(autouse=True)
def busy(cell: Cell) -> None:
    """One job in each kind of state."""
    waits: dict[str, Any] = {"queue_position": 1, "reason": SHORT_OF_GPUS, "priority": 500}
    asked: dict[str, Any] = {
        "cpu_milli": 8000,
        "memory_bytes": 32 * 2**30,
        "gpu": 2,
        "gpu_types": ["A100"],
    }
    saves = {"enabled": True, "interval_seconds": 3600}
    cell.add(name="gpt-large", resources=asked, checkpointing=saves, **waits)
    long = "a-name-that-is-as-long-as-a-name-may-be-in-this-platform-63char"
    cell.add(name=long, project_id="a-project-with-a-long-name", **(waits | {"queue_position": 2}))
    nodes = ["node-with-a-long-name-001", "node-002"]
    cell.add(name="wide", replicas=2, **(RUNNING | {"nodes": nodes, "attempt": 2}))
    cell.add(name="again", phase="held", failures=1, due_at="2026-11-24T08:00:42Z")
    cell.add(name="broken", started_at=STARTED, **ended("failed", 3))
    cell.add(name="killed", started_at=STARTED, **ended("failed", outcome="out_of_memory"))
    cell.add(name="good", started_at=STARTED, **ended("succeeded", 0))
    cell.events.append(
        {
            "position": 7,
            "stream": "job/job-01",
            "name": "job.queued.v1",
            "recorded_at": SUBMITTED,
            "data": {"cause": "submitted", "since": 1},
        }
    )


@pytest.mark.parametrize("columns", [100, 80])
@pytest.mark.parametrize("name", CASES)
def test_text(compute: Compute, name: str, columns: int, url: str) -> None:
    result = compute(*CASES[name], COLUMNS=str(columns))
    assert result.exit_code == 0, result.stderr
    text = result.stdout.replace(url, "http://HOST")
    file = GOLDEN / f"{name}.{columns}.txt"
    if os.environ.get("COMPUTE_UPDATE_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [100, 80])
def test_listings_fit_the_terminal(compute: Compute, columns: int) -> None:
    for words in (["ps", "-a"], ["queue"], ["nodes"], ["pools"], ["usage"], ["cost"]):
        lines = compute(*words, COLUMNS=str(columns)).stdout.splitlines()
        assert max(map(len, lines)) <= columns, words


def test_without_a_terminal_nothing_is_cut(compute: Compute) -> None:
    result = compute("ps", COLUMNS=None)
    assert "a-name-that-is-as-long-as-a-name-may-be-in-this-platform-63char" in result.stdout
    assert "…" not in result.stdout


def test_an_inherited_priority_stands_beside_the_own_one_where_there_is_one(
    compute: Compute, cell: Cell
) -> None:
    assert "INH" not in compute("ps").stdout
    cell.add(name="needed", inherited_priority=900, **QUEUED)
    for words in (["ps"], ["queue"]):
        head, *lines = compute(*words, COLUMNS=None).stdout.splitlines()
        at = head.index("INH")
        [line] = [line for line in lines if "needed" in line]
        assert line[at - 5 : at + 3].split() == ["0", "900"], words
    assert "inherits        900" in compute("job", "needed").stdout


def test_ages_are_by_the_servers_clock(compute: Compute) -> None:
    assert NOW.startswith("2026-11-24")  # far from the clock of any machine that runs this
    assert "3m12s" in compute("ps").stdout


def test_empty_lists_name_the_next_command(compute: Compute, cell: Cell) -> None:
    cell.jobs.clear()
    result = compute("ps")
    assert result.stdout.count("\n") == 1  # the headings
    assert "compute ps -a" in result.stderr
