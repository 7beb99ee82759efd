"""The policy as a YAML file: set whole, shown again, compared; what is wrong told by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compute_platform import exits
from compute_platform.errors import ClientError, problem
from compute_platform.marked import Document, text_of
from tests.cli.cell import Cell
from tests.cli.conftest import Compute

EXAMPLE = """\
scheduler: {scheduling_interval: 5, fair_share: {window_hours: 168, decay_factor: 0.5}}
clusters:
  production:
    nodes:
      - {id: node-001, gpus: 8, gpu_type: H100, memory_gb: 512, cpu_cores: 128}
"""


def test_a_file_is_set_whole_and_shown_as_one(compute: Compute, cell: Cell) -> None:
    done = compute("policy", "set", "-f", "-", text=EXAMPLE)
    assert done.exit_code == 0
    assert "scheduler, clusters" in done.stderr
    assert cell.documents["policy"]["clusters"]["production"]["nodes"][0]["memory_gb"] == 512
    shown = compute("policy", "show").stdout
    assert compute("policy", "diff", "-f", "-", text=shown).exit_code == exits.FINE
    assert compute("policy", "diff", "-f", "-", text=EXAMPLE).exit_code == exits.FINE


def test_a_difference_is_told_by_field(compute: Compute) -> None:
    done = compute("policy", "diff", "-f", "-", text="scheduler: {scheduling_interval: 7}")
    assert done.exit_code == exits.DIFFERENT
    assert done.stdout == "scheduler.scheduling_interval: 5 -> 7\n"
    nodes = "clusters: {production: {nodes: [{id: node-002, gpus: 8}]}}"
    done = compute("policy", "diff", "-f", "-", text=nodes)
    assert "clusters.production.nodes.node-002.gpus: nothing -> 8" in done.stdout
    assert "clusters.production.nodes.node-001.gpus: 8 -> nothing" in done.stdout
    found = json.loads(compute("policy", "diff", "--json", "-f", "-", text=nodes).stdout)
    assert {"field": "clusters.production.nodes.node-001.gpus", "now": 8, "wanted": None} in (
        found["differences"]
    )


@pytest.mark.parametrize("words", [("set",), ("diff",)])
def test_what_the_server_refuses_is_told_by_its_line(
    compute: Compute, cell: Cell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(EXAMPLE + "\nschedular:\n  x: 1\n")
    done = compute("policy", *words, "-f", str(file))
    assert done.exit_code == exits.REFUSED
    assert f"{file}:7:1: schedular: unknown field" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert "policy" not in cell.documents


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("scheduler:\n  score: pack\n  score: spread\n", 65, ":3:3: scheduler.score: given twice"),
        ("clusters: {a: {}, a: {}}\n", 65, ":1:19: clusters.a: given twice"),
        ("scheduler: {a: [}\n", 2, "line 1, column 17"),
        ("- scheduler\n", 2, "no mapping"),
        ("scheduler: {x: 2026-01-01}\n", 2, "quotes"),
        ("scheduler: &a [*a]\n", 2, "in itself"),
        ("scheduler: !!python/object:os.system {}\n", 2, "not YAML"),
    ],
)
def test_a_file_that_says_nothing_sensible_is_not_sent(
    compute: Compute, cell: Cell, tmp_path: Path, text: str, code: int, said: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    done = compute("policy", "set", "-f", str(file))
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert not cell.requests


def test_a_part_and_a_whole_are_told_apart(compute: Compute) -> None:
    assert compute("policy", "set").exit_code == exits.USAGE
    assert compute("policy", "set", "-f", "/nowhere").exit_code == exits.USAGE
    assert "priority" in compute("policy", "show").stdout


def test_places_of_fields(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(EXAMPLE)
    document = Document(str(file))
    assert document.at("clusters.production.nodes.0.gpus") == f"{file}:5:24"
    assert document.at("clusters.production.nodes.0.rack") == f"{file}:5:9"
    assert document.at("cohorts[0].name") == f"{file}:1:1"
    refused: Any = problem(422, {"detail": "all of it is wrong"})
    assert isinstance(wrong := document.wrong(refused), ClientError)
    assert wrong.lines()[0] == f"{file}:1:1: all of it is wrong"


def test_without_pyyaml_the_policy_is_shown_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_of({"a": {"b": 1}}) == "a: {b: 1}\n"
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert json.loads(text_of({"a": {"b": 1}})) == {"a": {"b": 1}}
