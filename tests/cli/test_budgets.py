"""Budgets, inheritance and dependencies from the command line."""

from __future__ import annotations

import pytest

from tests.cli.answers import BUDGETS
from tests.cli.cell import Cell
from tests.cli.conftest import Compute


def test_a_budget_that_is_set_keeps_the_others_to_the_second(compute: Compute, cell: Cell) -> None:
    month, day = BUDGETS["budgets"]
    words = ["projects", "budget", "set", "ml-research"]
    assert compute(*words, "--per", "24h", "--user", "*", "--gpu-hours", "2.5").exit_code == 0
    changed = {"per": "hours", "length": 24, "user": "*", "gpu_hours": "2.5", "money_micro": None}
    assert cell.documents["PUT/budgets"] == {"budgets": [month, changed]}
    assert compute(*words, "--per", "month", "--money", "none").exit_code == 0
    kept = {k: v for k, v in month.items() if k != "money_micro"} | {"money": None}
    assert cell.documents["PUT/budgets"] == {"budgets": [day, kept]}
    assert compute(*words, "--per", "24h", "--user", "*", "--gpu-hours", "none").exit_code == 0
    assert cell.documents["PUT/budgets"] == {"budgets": [month]}
    assert compute(*words, "--per", "week", "--user", "bob", "--money", "7").exit_code == 0
    assert cell.documents["PUT/budgets"]["budgets"][2:] == [
        {"per": "week", "length": 1, "user": "bob", "money": "7"}
    ]


@pytest.mark.parametrize(
    "words",
    [["--per", "year", "--money", "1"], ["--per", "month"], ["--per", "day", "--money", "x"]],
)
def test_a_budget_that_makes_no_sense_is_not_sent(
    compute: Compute, cell: Cell, words: list[str]
) -> None:
    assert compute("projects", "budget", "set", "ml-research", *words).exit_code == 2
    assert all(method == "GET" for method, *_ in cell.requests)


def test_budgets_are_shown_with_what_is_left(compute: Compute) -> None:
    lines = compute("projects", "budget", "show", "ml-research").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["BUDGET", "USER", "LIMIT", "USED", "RESERVED", "LEFT", "UNTIL"],
        [
            "GPU-hours,",
            "month",
            "all",
            "100.00",
            "1.50",
            "0.50",
            "98.00",
            "2026-12-01",
            "00:00:00Z",
        ],
        ["USD,", "month", "all", "5.00", "2.50001", "0.00", "2.49999", "2026-12-01", "00:00:00Z"],
        [
            *("GPU-hours,", "last", "24", "hours", "ada"),
            *("2.00", "0.00", "2.00", "0.00", "2026-11-24", "09:00:00Z"),
        ],
    ]


def test_a_job_is_run_after_others_by_name_or_id(compute: Compute, cell: Cell) -> None:
    first = cell.add(name="first")["id"]
    other = "job-" + "0" * 26
    words = ["--after", "first", "--after-any", other, "--", "true"]
    assert compute("run", "-d", "--project", "p", *words).exit_code in (0, 65)
    assert cell.requests[-1][2]["after"] == [
        {"job": first, "on": "ok"},
        {"job": other, "on": "any"},
    ]
