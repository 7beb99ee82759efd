"""Commands on jobs: what they send, print and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cell import QUEUED, RUNNING, STARTING, Cell, ended
from tests.cli.conftest import Compute


def _posted(cell: Cell, path: str = "/jobs") -> list[dict[str, object]]:
    return [body for method, at, body in cell.requests if method == "POST" and at == path]


def test_run_asks_for_an_instance(compute: Compute, cell: Cell) -> None:
    compute("run", "-d", "--project", "p", "--mig", "1g.10gb", "--gpu-type", "H100", "--", "x")
    assert cell.requests[-1][2]["resources"] == {"mig": "1g.10gb", "gpu_type": "H100"}


def test_run_sends_what_was_asked_and_nothing_else(compute: Compute, cell: Cell) -> None:
    result = compute(
        "run", "-d", "--name", "big", "--project", "p", "--gpus", "2", "--gpu-type", "A100",
        "--gpu-type", "H100", "--cpu", "500m", "--memory", "32Gi", "--image", "img:1", "--priority",
        "50", "--env", "A=1=2", "--env", "HOME_OF_TEST", "--label", "team=x", "--replicas", "2",
        "--checkpoint-interval", "10m", "--retries", "3", "--time-limit", "2h", "--grace", "45",
        "--", "python", "train.py", "--json", "-d",
        HOME_OF_TEST="/h",
    )  # fmt: skip
    assert result.exit_code in (0, 65)
    method, path, sent = cell.requests[-1]
    assert (method, path) == ("POST", "/jobs")
    assert sent == {
        "name": "big",
        "project_id": "p",
        "command": ["python", "train.py", "--json", "-d"],
        "docker_image": "img:1",
        "resources": {"gpu": 2, "gpu_type": ["A100", "H100"], "cpu": "500m", "memory": "32Gi"},
        "priority": 50,
        "env": {"A": "1=2", "HOME_OF_TEST": "/h"},
        "labels": {"team": "x"},
        "replicas": 2,
        "checkpointing": {"enable_checkpointing": True, "checkpoint_interval_seconds": 600},
        "retry": {"max_retries": 3},
        "time_limit_seconds": 7200,
        "grace_seconds": 45,
    }
    assert compute("run", "-d", "--project", "p", "--", "/opt/My Tool.sh").exit_code == 0
    assert cell.requests[-1][2] == {
        "name": "my-tool",
        "project_id": "p",
        "command": ["/opt/My Tool.sh"],
    }


def test_run_shows_progress_streams_output_and_exits_as_the_job(
    compute: Compute, cell: Cell
) -> None:
    cell.scripts["train"] = [
        QUEUED,
        {**STARTING},
        {**RUNNING, "log": b"epoch 1\n\xff\x00"},
        {"log": b"epoch 2\n"},
        ended("failed", 3),
    ]
    result = compute("run", "--project", "p", "--", "python", "train.py")
    assert result.exit_code == 3
    assert result.stdout_bytes == b"epoch 1\n\xff\x00epoch 2\n"
    said = [line.removeprefix("compute: ") for line in result.stderr.splitlines()]
    assert said[0].startswith("submitted train as job-01kaxy")
    assert said[1].startswith("queued, position 4: Not enough GPUs are free.")
    assert "running on node-001" in said
    assert said[-1] == "failed with exit code 3 after 1h00m"
    assert len(said) == len(set(said))  # each change once


def test_run_json_keeps_stdout_for_the_document(compute: Compute, cell: Cell) -> None:
    cell.scripts["sh"] = [{**RUNNING, "log": b"out\n"}, ended("succeeded", 0)]
    result = compute("run", "--json", "--project", "p", "--", "sh")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["phase"] == "succeeded"
    assert "out\n" in result.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (ended("succeeded", 0), 0),
        (ended("failed", 17), 17),
        (ended("failed", 0, outcome="lost"), 126),
        (ended("failed", None, outcome="start_failed"), 126),
        (ended("cancelled", 0), 125),
        (ended("timed_out", 143), 124),
    ],
)
def test_exit_codes_of_jobs(
    compute: Compute, cell: Cell, end: dict[str, object], code: int
) -> None:
    cell.scripts["sh"] = [{**end}]
    assert compute("run", "--project", "p", "--", "sh").exit_code == code
    assert compute("wait", "sh").exit_code == code


def test_run_chooses_the_only_project(compute: Compute, cell: Cell) -> None:
    assert compute("run", "-d", "--", "true").exit_code == 0
    assert _posted(cell)[-1]["project_id"] == "ml-research"
    assert compute("run", "-d", "--", "true", COMPUTE_PROJECT="mine").exit_code == 0
    assert _posted(cell)[-1]["project_id"] == "mine"
    cell.documents["projects"] = {"b": {"id": "b", "description": ""}}
    result = compute("run", "-d", "--", "true")
    assert result.exit_code == 2
    assert "ml-research, b" in result.stderr


def test_submit_one_from_json_and_yaml_alike(compute: Compute, cell: Cell, tmp_path: Path) -> None:
    spec = {"name": "x", "project_id": "p", "command": ["true"], "resources": {"gpu": 1}}
    (tmp_path / "job.json").write_text(json.dumps(spec))
    (tmp_path / "job.yaml").write_text(
        "name: x\nproject_id: p\ncommand: ['true']\nresources: {gpu: 1}\n"
    )
    for name in ("job.json", "job.yaml"):
        result = compute("submit", "-f", str(tmp_path / name))
        assert result.exit_code == 0, result.stderr
        assert _posted(cell)[-1] == spec
        assert result.stdout.strip() in cell.jobs


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ncommand: [x]\n---\nname: b\ncommand: [x]\n",
        '[{"name": "a", "command": ["x"]}, {"name": "b", "command": ["x"]}]',
        "jobs:\n- {name: a, command: [x]}\n- {name: b, command: [x]}\n",
    ],
)
def test_submit_several_at_once(compute: Compute, cell: Cell, text: str) -> None:
    result = compute("submit", "-f", "-", "--project", "p", text=text)
    assert result.exit_code == 0, result.stderr
    jobs = [{"project_id": "p", "name": name, "command": ["x"]} for name in "ab"]
    assert _posted(cell, "/jobs:batch") == [{"jobs": jobs}]
    assert result.stdout.split() == list(cell.jobs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no job in it"),
        ("[]", "no job in it"),
        ("just words", "a job is a mapping"),
        ("a: [1", "not YAML"),
        ("name: 2026-11-24\ncommand: [x]", "not JSON serializable"),
    ],
)
def test_submit_of_what_is_no_job(compute: Compute, text: str, said: str) -> None:
    result = compute("submit", "-f", "-", text=text)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_yaml_without_its_library(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "yaml", None)
    result = compute("submit", "-f", "-", text="name: x")
    assert result.exit_code == 2
    assert "pip install pyyaml" in result.stderr


def test_jobs_by_id_part_and_name(compute: Compute, cell: Cell) -> None:
    one, two = cell.add(name="one"), cell.add(name="two")
    for text in (one["id"], one["id"][-8:], "one"):
        assert compute("ps", "-q", "--name", "one").stdout.strip() == one["id"]
        assert json.loads(compute("job", text, "--json").stdout)["id"] == one["id"]
    result = compute("cancel", "job-01k")
    assert result.exit_code == 2
    assert all(job["id"] in result.stderr for job in (one, two))
    cell.add(name="one")
    assert "may be any of 2 jobs" in compute("logs", "one").stderr
    assert compute("job", "three").exit_code == 66
    assert compute("job", "").exit_code == 2
    assert compute("job", "n" * 70).exit_code == 66


def test_nothing_is_cancelled_when_one_name_is_wrong(compute: Compute, cell: Cell) -> None:
    job = cell.add(name="one")
    assert compute("cancel", "one", "tow").exit_code == 66
    assert job["phase"] == "queued"
    assert compute("cancel", "one", "one").stdout.strip() == job["id"]
    assert job["phase"] == "cancelled"
    assert compute("cancel", "one").exit_code == 65


def test_priority(compute: Compute, cell: Cell) -> None:
    job = cell.add(name="one")
    assert compute("priority", "one", "70").exit_code == 0
    assert job["priority"] == 70


def test_ps_filters(compute: Compute, cell: Cell) -> None:
    live = cell.add(name="live", user="ada")
    other = cell.add(name="other", user="bob", project_id="q", **RUNNING)
    gone = cell.add(name="gone", **ended("failed", 1))

    def ids(*words: str) -> list[str]:
        return compute("ps", "-q", *words).stdout.split()

    assert ids() == [other["id"], live["id"]]
    assert ids("-a") == [gone["id"], other["id"], live["id"]]
    assert ids("--mine") == [live["id"]]
    assert ids("--project", "q") == [other["id"]]
    assert ids("--phase", "failed", "--phase", "running") == [gone["id"], other["id"]]
    assert ids("-a", "-n", "2") == [gone["id"], other["id"]]
    assert "--limit 0 lists all" in compute("ps", "-a", "-n", "2").stderr


def test_ps_puts_pages_together(compute: Compute, cell: Cell) -> None:
    for _ in range(250):
        cell.add()
    assert len(compute("ps", "-q", "-n", "0").stdout.split()) == 250
    assert len(compute("ps", "-q", "-n", "120").stdout.split()) == 120


def test_wait(compute: Compute, cell: Cell) -> None:
    cell.add(name="a", **RUNNING)
    assert compute("wait", "a", "--for", "running").exit_code == 0
    assert compute("wait", "a", "--timeout", "0").exit_code == 75
    cell.scripts["a"] = [{}, ended("failed", 9)]
    assert compute("wait", "a", "--for", "ended").exit_code == 0
    assert compute("wait", "a", "--for", "failed").exit_code == 0
    assert compute("wait", "a").exit_code == 9
    cell.add(name="b", **ended("succeeded", 0))
    assert compute("wait", "b", "--for", "suspended").exit_code == 1
    assert compute("wait", "b", "--for", "nonsense").exit_code == 2
    assert compute("wait", "b", "--timeout", "soon").exit_code == 2


def test_logs(compute: Compute, cell: Cell) -> None:
    cell.add(name="a", log=b"one\ntwo\nthr\xffee", **RUNNING)
    assert compute("logs", "a").stdout_bytes == b"one\ntwo\nthr\xffee"
    assert compute("logs", "a", "--offset", "4").stdout_bytes == b"two\nthr\xffee"
    assert compute("logs", "a", "--tail", "2").stdout_bytes == b"two\nthr\xffee"
    assert compute("logs", "a", "--tail", "0").stdout_bytes == b""
    assert compute("logs", "a", "--tail", "9").stdout_bytes == b"one\ntwo\nthr\xffee"
    assert compute("logs", "a", "--tail", "9", "--offset", "1").exit_code == 2
