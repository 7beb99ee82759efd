"""Dry runs and what `why` foresees: what is said, and the exit codes."""

from __future__ import annotations

import json
from typing import Any

from compute_platform import exits, foretell
from tests.cli.cell import SHORT_OF_GPUS, Cell, ended
from tests.cli.conftest import Compute

RUN = ("run", "--dry-run", "--project", "p")


def test_a_dry_run_submits_nothing_and_its_exit_code_says_what_would_become(
    compute: Compute, cell: Cell
) -> None:
    done = compute(*RUN, "--", "true")
    assert (done.exit_code, done.stdout) == (exits.FINE, "It would start now on node-001.\n")
    done = compute(*RUN, "--gpus", "2", "--", "true")
    assert done.exit_code == exits.WOULD_WAIT
    assert "place 4 of 5 in the queue. Not enough GPUs are free." in done.stdout
    assert "May start: from 2026-11-24 09:00" in done.stdout
    assert "ask for 1 GPU a seat" in done.stdout
    cell.documents["dry_run"] = {
        "forecast": "can_never_run",
        "reason": {**SHORT_OF_GPUS, "text": "The nodes would not hold it."},
        "field": "resources.gpu",
        "fix": "ask for at most 2 a seat",
    }
    done = compute(*RUN, "--gpus", "9", "--", "true")
    assert done.exit_code == exits.CAN_NEVER_RUN
    assert "To change: resources.gpu: ask for at most 2 a seat" in done.stdout
    done = compute(*RUN, "--json", "--", "true")
    assert json.loads(done.stdout)["forecast"] == "can_never_run"
    assert done.exit_code == exits.CAN_NEVER_RUN
    assert not cell.jobs
    compute(*RUN, "--at", "2026-11-24T08:00:00Z", "--", "true")
    assert cell.requests[-1][1] == "/jobs:dry-run?as_of=2026-11-24T08%3A00%3A00Z"
    done = compute("run", "--at", "5", "--project", "p", "--", "true")
    assert (done.exit_code, cell.jobs) == (exits.USAGE, {})
    assert "--dry-run" in done.stderr


def test_why_goes_on_without_what_cannot_be_foreseen(compute: Compute, cell: Cell) -> None:
    cell.add(name="one")
    assert "outlook" in json.loads(compute("why", "one", "--json").stdout)
    assert "outlook" not in json.loads(compute("why", "one", "--json", "--quick").stdout)
    assert "outlook" in json.loads(compute("why", "one", "--json", "--at", "5").stdout)
    assert cell.requests[-1][1].endswith("/outlook?as_of=5")
    cell.documents["outlook"] = {"busy": True}
    done = compute("why", "one")
    assert done.exit_code == 0
    assert "not known now" in done.stderr
    assert "Waiting, place 4" in done.stdout
    cell.add(name="done", **ended("succeeded", 0))
    assert "May start" not in compute("why", "done").stdout


def said(**changes: Any) -> str:
    found: Any = {
        "forecast": "would_wait",
        "nodes": [],
        "reason": None,
        "queue_position": 1,
        "queued": 1,
        "ahead": [],
        "ahead_total": 0,
        "earliest_start": None,
        "latest_start": None,
        "changes": [],
        **changes,
    }
    return "\n".join(foretell.dry_run(found))


def test_every_kind_of_outlook_has_its_words() -> None:
    at = "2026-11-24T09:00:00Z"
    assert "cannot be foreseen" in said()
    assert "No single change" in said()
    assert "Not every change" in said(complete=False)
    assert "has no limit" in said(earliest_start=at)
    assert "May start: 2026" in said(earliest_start=at, latest_start=at)
    assert "2 jobs would be asked to make room" in said(earliest_start=at, asks=2)
    assert "would miss its deadline" in said(deadline="missed")
    assert "held until `compute resume`" in said(nodes=["n"])
    late = said(forecast="can_never_run", field="deadline", fix="deadline: it lies in the past")
    assert late.endswith("To change: deadline: it lies in the past")
