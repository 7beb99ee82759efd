"""Nodes, projects, tokens, policy: what is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute_platform.commands.projects import members, present_limits
from compute_platform.errors import Misused
from tests.cli.cell import Cell
from tests.cli.conftest import Compute


def test_nodes(compute: Compute, cell: Cell) -> None:
    assert compute("nodes", "drain", "node-001", "--reason", "new disk").exit_code == 0
    assert cell.documents["node"] == {"command": "drain", "reason": "new disk"}
    assert compute("node", "uncordon", "node-001").stdout == "node-001\n"
    assert cell.documents["node"]["command"] == "uncordon"


def test_members(compute: Compute, cell: Cell) -> None:
    assert compute("projects", "member", "ml-research", "bob", "--role", "viewer").exit_code == 0
    assert cell.documents["PUT/members/bob"] == {"role": "viewer"}
    assert compute("projects", "member", "ml-research", "bob", "--remove").exit_code == 0
    assert "DELETE/members/bob" in cell.documents


def test_quota_keeps_what_is_not_named(compute: Compute, cell: Cell) -> None:
    assert compute("projects", "quota", "ml-research", "--memory-gb", "64").exit_code == 0
    assert cell.documents["PUT/quota"] == {"gpu": 8, "cpu": "1500m", "memory_gb": 64}
    assert compute("projects", "quota", "ml-research", "--gpus", "none").exit_code == 0
    assert cell.documents["PUT/quota"] == {"gpu": None, "cpu": "1500m", "memory_gb": None}


def test_limits_are_read_exactly_or_not_at_all() -> None:
    assert present_limits({"memory_bytes": 3 * 2**30})["memory_gb"] == 3
    with pytest.raises(Misused, match="--memory-gb"):
        present_limits({"memory_bytes": 2**30 + 1})
    assert members({"members": [{"principal": "a", "role": "viewer"}]}) == [["a", "viewer"]]


def test_token(compute: Compute, cell: Cell) -> None:
    result = compute(
        "token", "create", "bob", "--role", "viewer", "--project", "p=submitter", "--expires", "1d"
    )
    assert result.stdout == "t0ken\n"  # alone, to go into a file
    assert cell.documents["token"] == {
        "principal": "bob",
        "roles": ["viewer"],
        "projects": {"p": "submitter"},
        "expires_in_seconds": 86_400,
    }
    assert compute("token", "create", "n", "--role", "agent", "--node", "n1").exit_code == 0
    assert cell.documents["token"]["node"] == "n1"


def test_policy(compute: Compute, cell: Cell, tmp_path: Path) -> None:
    words = ["policy", "set", "scheduler", "grace_seconds=60", "enable_preemption=false"]
    assert compute(*words).exit_code == 0
    assert cell.documents["scheduler"] == {
        "enable_preemption": False,
        "grace_seconds": 60,
        "interval_seconds": 1,
    }
    assert compute("policy", "set", "prices", "gpus.H100=4000000", "currency=EUR").exit_code == 0
    assert cell.documents["prices"]["gpus"] == {"A100": 2_500_000, "H100": 4_000_000}
    assert cell.documents["prices"]["currency"] == "EUR"
    assert compute("policy", "set", "prices", "cpu_micro.x=1").exit_code == 2
    file = tmp_path / "policy.yaml"
    file.write_text("grace_seconds: 5\n")
    assert compute("policy", "set", "scheduler", "-f", str(file)).exit_code == 0
    assert cell.documents["scheduler"] == {"grace_seconds": 5}
    file.write_text("[]")
    assert compute("policy", "set", "scheduler", "-f", str(file)).exit_code == 2


def test_periods(compute: Compute, cell: Cell) -> None:
    words = ["cost", "--since", "2026-11-01", "--until", "2026-11-02T00:00:00+01:00"]
    assert compute(*words).exit_code == 0
    path = cell.requests[-1][1]
    assert "since=2026-11-01T00%3A00%3A00Z" in path
    assert "until=2026-11-01T23%3A00%3A00Z" in path
    assert compute("usage", "--since", "7d", "--by", "user", "--project", "p").exit_code == 0
    assert "group_by=user" in cell.requests[-1][1]
    assert "project_id=p" in cell.requests[-1][1]


def test_a_rebuild_is_waited_for(compute: Compute, cell: Cell) -> None:
    found = compute("admin", "rebuild", "jobs")
    assert (found.exit_code, found.stdout) == (0, "jobs\n")
    assert "at position 0 of 70" in found.stderr
    assert "done at" in found.stderr


def test_a_rebuild_that_failed_says_why(compute: Compute, cell: Cell) -> None:
    cell.documents["rebuild"] = {"finished_at": None, "error": "ValueError: no"}
    found = compute("admin", "rebuild", "jobs")
    assert found.exit_code == 65
    assert "failed: ValueError: no" in found.stderr


def test_no_such_view(compute: Compute) -> None:
    found = compute("admin", "rebuild", "nothing")
    assert found.exit_code == 66
    assert "there is jobs" in found.stderr


def test_what_is_held_back_is_tried_again_and_passed_over(compute: Compute, cell: Cell) -> None:
    assert compute("admin", "quarantine", "retry").stdout == "jobs\n"
    assert cell.documents["retry"] == {"consumer": None}
    words = ["discard", "job/x", "17", "--reason", "bad build", "--consumer", "jobs"]
    assert compute("admin", "quarantine", *words).stdout == "jobs\n"
    assert cell.documents["discard"] == {
        "stream": "job/x",
        "position": 17,
        "reason": "bad build",
        "consumer": "jobs",
    }
    assert compute("admin", "quarantine", "discard", "job/x", "17").exit_code == 2
    refused = compute("admin", "quarantine", "retry", "jobz")
    assert refused.exit_code == 66
    assert "jobs does" in refused.stderr


def test_nothing_held_back_is_said(compute: Compute, cell: Cell) -> None:
    cell.documents["held"] = {"items": []}
    found = compute("admin", "quarantine", "list")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "Nothing is held back." in found.stderr
    assert "Nothing is held back." in compute("admin", "quarantine", "retry").stderr
