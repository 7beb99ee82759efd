"""`compute reservations`: what is sent for what was asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from compute_platform import exits
from tests.cli.cell import Cell
from tests.cli.conftest import Compute


def test_every_option_reaches_the_server(compute: Compute, cell: Cell) -> None:
    words = (
        "reservations create course --start 2026-12-01T08:00Z --for 8h --every 1d"
        " --until 2026-12-06 --gpus 16 --gpu-type H100 --pool big --project teaching --user ada"
        " --job job-1 --notice 0 --reason school"
    )
    result = compute(*words.split())
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "course\n"
    assert cell.documents["reservation"] == {
        "name": "course",
        "start": "2026-12-01T08:00:00Z",
        "duration_seconds": 28_800,
        "every_seconds": 86_400,
        "until": "2026-12-06T00:00:00Z",
        "nodes": [],
        "gpus": 16,
        "gpu_type": "H100",
        "pool": "big",
        "projects": ["teaching"],
        "users": ["ada"],
        "jobs": ["job-1"],
        "maintenance": False,
        "notice_seconds": 0,
        "reason": "school",
    }


def test_a_start_may_be_told_from_now_on(compute: Compute, cell: Cell) -> None:
    base = ["reservations", "create", "fans", "--for", "1h", "--node", "node-001", "--maintenance"]
    begins = []
    for start in ("now", "+2h"):
        assert compute(*base, "--start", start).exit_code == 0
        begins.append(datetime.fromisoformat(cell.documents["reservation"]["start"]))
    assert timedelta(hours=2) <= begins[1] - begins[0] < timedelta(hours=2, minutes=5)


@pytest.mark.parametrize("start", ["soon", "+", "+x", "+999999999999w", "7x"])
def test_what_is_no_moment_is_refused_before_anything_is_sent(
    compute: Compute, cell: Cell, start: str
) -> None:
    words = ["reservations", "create", "x", "--for", "1h", "--node", "n", "--start", start]
    result = compute(*words)
    assert result.exit_code == exits.USAGE
    assert "reservation" not in cell.documents
