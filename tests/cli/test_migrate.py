"""`compute migrate`: what it says, and what is said of a job that moves."""

from __future__ import annotations

from tests.cli.cell import RUNNING, SHORT_OF_GPUS, Cell
from tests.cli.conftest import Compute


def test_jobs_move_away_or_to_a_node_or_stay(compute: Compute, cell: Cell) -> None:
    one, two = (cell.add(name=name, **RUNNING)["id"] for name in ("one", "two"))
    result = compute("migrate", "one", "two")
    assert result.stdout.split() == [one, two]
    assert f"{one} moves elsewhere once there is room" in result.stderr
    assert cell.jobs[two]["migration"]["to"] is None
    assert "moves to n9 once" in compute("migrate", "one", "--to", "n9").stderr
    assert cell.jobs[one]["migration"]["to"] == "n9"
    assert "stays where it is" in compute("migrate", "one", "--withdraw").stderr
    assert cell.jobs[one]["migration"] is None


def test_a_slip_leaves_everything_as_it_is(compute: Compute, cell: Cell) -> None:
    one = cell.add(name="one", **RUNNING)["id"]
    assert compute("migrate", "one", "nobody").exit_code == 66
    assert compute("migrate", "one", "--to", "n9", "--withdraw").exit_code == 2
    assert cell.jobs[one].get("migration") is None
    cell.add(name="waits")
    result = compute("migrate", "waits")
    assert "wrong_phase" in result.stderr


def test_where_a_job_moves_is_shown_and_why_not_yet(compute: Compute, cell: Cell) -> None:
    move = {"leaves": ["n1"], "to": None, "found": [], "reason": SHORT_OF_GPUS}
    job = cell.add(name="one", **RUNNING, migration=move)
    assert "once there is room elsewhere" in compute("job", "one").stdout
    assert "EXCLUDED BY" in compute("why", "one").stdout
    job["migration"] = {**move, "to": "n9"}
    assert "once there is room on n9" in compute("job", "one").stdout
    job.update(phase="preempting", migration={**move, "found": ["n2"], "reason": None})
    assert "moves           to n2" in compute("job", "one").stdout
    assert "EXCLUDED BY" not in compute("why", "one").stdout
