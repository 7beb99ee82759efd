"""`compute audit`: what it asks, what it shows, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compute_platform import exits
from tests.cli.audits import DIFFERENCE, REPLAY
from tests.cli.cell import Cell
from tests.cli.conftest import Compute


def asked(cell: Cell) -> Any:
    """The body of the last audit that was asked for."""
    return next(body for _, path, body in reversed(cell.requests) if path.startswith("/audit/"))


def test_a_replay_without_a_difference_is_fine(compute: Compute, cell: Cell) -> None:
    done = compute("audit", "replay", "--from", "7", "--to", "2026-11-24T08:00:00Z")
    assert done.exit_code == 0
    assert "confirmed: 21 decided events under 9 receipts" in done.stdout
    assert asked(cell) == {"from": "7", "to": "2026-11-24T08:00:00Z", "use_kept": False}


def test_a_difference_is_named_and_fails_the_command(compute: Compute, cell: Cell) -> None:
    cell.documents["audit"] = {"result": {**REPLAY, "difference": DIFFERENCE}}
    done = compute("audit", "replay")
    assert done.exit_code == exits.DIFFERENT
    assert "FIRST DIFFERENCE at position 31: this code comes to another decision" in done.stdout
    assert '"reason":"best_fit"' in done.stdout
    assert '"reason":"worst_fit"' in done.stdout
    assert compute("audit", "replay", "--json").exit_code == exits.DIFFERENT


def test_a_refusal_after_the_answer_began_is_one_of_the_whole(compute: Compute, cell: Cell) -> None:
    cell.documents["audit"] = {"refusal": {"code": "empty_window", "detail": "nothing there"}}
    done = compute("audit", "whatif")
    assert done.exit_code == exits.REFUSED
    assert "nothing there (422 empty_window)" in done.stderr


def test_an_answer_without_an_end_is_told(compute: Compute, cell: Cell) -> None:
    cell.documents["audit"] = {"progress": 3, "of": 9}
    done = compute("audit", "replay")
    assert done.exit_code == exits.UNEXPECTED
    assert "without a result" in done.stderr


def test_a_wish_is_put_together_from_its_options(
    compute: Compute, cell: Cell, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("enable_preemption: false\n")
    words = ["--policy", str(policy), "--quota", "ml:gpu=8", "--quota", "ml:cpu=none"]
    done = compute("audit", "whatif", *words, "--nodes", "+16xH100", "--nodes", "-1x")
    assert done.exit_code == 0
    assert asked(cell) == {
        "policy": {"enable_preemption": False},
        "quotas": {"ml": {"gpu": 8, "cpu_milli": None}},
        "nodes": [{"count": 16, "model": "H100"}, {"count": -1, "model": ""}],
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--nodes", "16xH100"],
        ["--nodes", "+xH100"],
        ["--quota", "ml"],
        ["--quota", "ml:gpu=-1"],
        ["--quota", ":gpu=1"],
        ["--policy", "/no/such/file"],
    ],
)
def test_what_cannot_be_meant_is_said_before_asking(
    compute: Compute, cell: Cell, words: list[str]
) -> None:
    done = compute("audit", "whatif", *words)
    assert done.exit_code == exits.USAGE, done.stderr
    assert cell.requests == []
