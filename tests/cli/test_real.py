"""Every command against the real platform: server, processors, agent, Postgres."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_json import CASES
from tests.demo.test_doors import exports, free_port, running

PROJECT = "ml-research"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What a person has set who pasted what `compute up` prints."""
    with tempfile.TemporaryDirectory(prefix="compute-real-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        port = str(free_port())
        command = [sys.executable, "-m", "infra.local", "--port", port, "--data", f"{folder}/data"]
        with running([*command, "--fake-gpus", "2xA100", "--node", "one"]) as lines:
            yield {
                **exports(lines),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(("cli", ".")),
            }


@pytest.fixture
def compute(environment: dict[str, str]) -> Run:
    """Run `compute WORDS` as a process; its result."""

    def run(*words: str, code: int = 0, text: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "compute_platform", *words],
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    return run


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def until(look: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_a_node_is_there(compute: Run) -> None:
    """Before that nothing is refused: nobody knows what is to come."""
    until(lambda: any(node["alive"] for node in document(compute("nodes", "--json"))["items"]))


def test_run_prints_the_output_and_ends_as_the_job(compute: Run) -> None:
    done = compute("run", "--project", PROJECT, "--", "sh", "-c", "echo out; exit 7", code=7)
    assert done.stdout == "out\n"
    assert "failed with exit code 7" in done.stderr


def test_a_job_from_submission_to_its_bill(compute: Run) -> None:
    command, gpu = ["sh", "-c", "echo one; echo two"], {"gpu": 1, "gpu_type": "A100"}
    spec = {"name": "told", "project_id": PROJECT, "command": command, "resources": gpu}
    job = document(compute("submit", "-f", "-", "--json", text=json.dumps(spec)))["id"]
    compute("wait", job)
    shown = document(compute("job", job, "--json"))
    assert (shown["phase"], shown["exit_code"], shown["attempt"]) == ("succeeded", 0, 1)
    assert compute("logs", job).stdout == "one\ntwo\n"
    assert compute("logs", "-f", job).stdout == "one\ntwo\n"
    assert "attempt 1 placed on one" in compute("why", job).stdout
    assert "succeeded" in compute("ps", "--all").stdout
    cost = document(compute("cost", "--by", "job", "--json"))
    [line] = [item for item in cost["items"] if item["key"] == job]
    assert line["gpu_micro"] > 0
    assert line["total_micro"] == line["gpu_micro"] + line["cpu_micro"] + line["memory_micro"]


def test_why_a_job_waits_and_how_it_is_controlled(compute: Run) -> None:
    until_a_node_is_there(compute)
    words = ["run", "-d", "--json", "--project", PROJECT, "--gpus", "3"]
    assert "no state of this fleet" in compute(*words, "--", "true", code=65).stderr
    words += ["--accept-when-absent", "--", "true"]
    job = document(compute(*words))["id"]
    until(lambda: "No node" in (said := compute("why", job).stdout) or "nodes would" in said)
    assert document(compute("why", job, "--json"))["reason"]["code"] == "never_fits"
    assert "never_fits" in compute("queue", "--why").stdout
    assert document(compute("queue", "--json"))["items"][0]["id"] == job
    compute("priority", job, "9")
    compute("suspend", job)
    assert document(compute("job", job, "--json"))["phase"] == "suspended"
    assert document(compute("job", job, "--json"))["priority"] == 9
    compute("resume", job)
    assert document(compute("job", job, "--json"))["phase"] == "queued"
    compute("cancel", job)
    compute("wait", job, code=125)
    assert "cancel" in compute("cancel", job, code=65).stderr


def test_a_running_job_is_followed_suspended_and_resumed(compute: Run) -> None:
    loop = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.05; done"
    words = ["run", "-d", "--json", "--project", PROJECT, "--grace", "2", "--"]
    job = document(compute(*words, "sh", "-c", loop))["id"]
    compute("wait", job, "--for", "running")
    until(lambda: "3\n" in compute("logs", job).stdout)
    compute("suspend", job)
    compute("wait", job, "--for", "suspended")
    first = compute("logs", job).stdout
    assert first.startswith("0\n1\n2\n3\n")
    compute("resume", job)
    compute("wait", job, "--for", "running")
    until(lambda: compute("logs", job).stdout.count("0\n1\n2\n") == 2)
    compute("cancel", job)
    compute("wait", job, code=125)
    assert document(compute("job", job, "--json"))["attempt"] == 2


def test_logs_are_followed_while_the_job_prints(compute: Run, environment: dict[str, str]) -> None:
    words = ["run", "-d", "--json", "--project", PROJECT, "--", "sh", "-c"]
    job = document(compute(*words, "echo first; sleep 3; echo last"))["id"]
    with subprocess.Popen(
        [sys.executable, "-m", "compute_platform", "logs", "-f", job],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n"
        assert document(compute("job", job, "--json"))["phase"] == "running"
        assert follower.stdout.read() == "last\n"
        assert follower.wait(10) == 0


def test_events_are_followed(compute: Run, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "compute_platform", "events", "-f", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        time.sleep(1)
        job = document(
            compute("run", "-d", "--json", "--project", PROJECT, "--hold", "--", "true")
        )["id"]
        lines = iter(follower.stdout.readline, "")
        assert any(job in line and "job.submitted.v1" in line for line in lines)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    compute("cancel", job)


def test_operators_and_admins(compute: Run) -> None:
    compute("nodes", "cordon", "one", "--reason", "look at the fan")
    assert "look at the fan" in compute("nodes", "show", "one").stdout
    job = document(compute("run", "-d", "--json", "--project", PROJECT, "--", "true"))["id"]
    until(lambda: "cordoned" in compute("why", job).stdout)
    compute("nodes", "uncordon", "one")
    compute("wait", job)
    compute("projects", "create", "second")
    compute("projects", "member", "second", "bob", "--role", "viewer")
    compute("projects", "quota", "second", "--gpus", "1")
    assert document(compute("projects", "show", "second", "--json"))["quota"]["gpu"] == 1
    over = ["run", "-d", "--json", "--project", "second", "--gpus", "2", "--", "true"]
    waits = document(compute(*over))["id"]
    until(lambda: "limit for gpu" in compute("why", waits, "--quick").stdout)
    assert "raise the limits of project second to 2 GPUs" in compute("why", waits).stdout
    issued = document(compute("token", "create", "bob", "--role", "viewer", "--json"))
    compute("token", "revoke", issued["id"])
    compute("policy", "set", "scheduler", "grace_seconds=7")
    assert document(compute("policy", "show", "scheduler", "--json"))["grace_seconds"] == 7
    compute("cancel", waits)


def test_a_dry_run_submits_nothing(compute: Run) -> None:
    until_a_node_is_there(compute)
    before = document(compute("ps", "--all", "--json"))
    words = ["run", "--dry-run", "--project", PROJECT]
    assert "would start now on one" in compute(*words, "--gpus", "2", "--", "true").stdout
    assert "never run" in compute(*words, "--gpus", "3", "--", "true", code=4).stdout
    words += ["--gpus", "3", "--accept-when-absent"]
    assert "It would wait, place 1 of" in compute(*words, "--", "true", code=3).stdout
    assert document(compute("ps", "--all", "--json")) == before


POLICY = """\
scheduler:
  primary_policy: priority
  secondary_policy: fair_share
  enable_preemption: true
  enable_backfill: true
  enable_gang_scheduling: false
  scheduling_interval: 5
  fair_share: {window_hours: 168, decay_factor: 0.5}
  preemption: {grace_period: 300, priority_threshold: 100, max_preemptions: 3}
clusters:
  production:
    nodes:
      - {id: node-001, gpus: 8, gpu_type: H100, memory_gb: 512, cpu_cores: 128}
      - {id: one, gpus: 4, gpu_type: A100, memory_gb: 1, cpu_cores: 1}
"""


def test_the_policy_is_one_file(compute: Run, tmp_path: Path) -> None:
    before, file = compute("policy", "show").stdout, tmp_path / "policy.yaml"
    file.write_text(POLICY.replace("gpus: 8, ", ""))
    assert f"{file}:13:9: clusters.production.nodes.0.gpus" in (
        compute("policy", "set", "-f", str(file), code=65).stderr
    )
    assert compute("policy", "show").stdout == before, "nothing was applied"
    file.write_text(POLICY)
    told = compute("policy", "diff", "-f", str(file), code=1).stdout
    assert "scheduler.scheduling_interval: 1 -> 5" in told
    compute("policy", "set", "-f", str(file))
    compute("policy", "diff", "-f", str(file))
    shown = compute("policy", "show").stdout
    compute("policy", "diff", "-f", "-", text=shown)
    nodes = compute("nodes").stdout
    assert "absent" in next(line for line in nodes.splitlines() if line.startswith("node-001"))
    assert "not as expected: fewer gpus" in nodes
    compute("policy", "set", "-f", "-", text=before)
    assert compute("policy", "show").stdout == before


def test_maintenance_keeps_a_job_off_until_it_is_cancelled(compute: Run) -> None:
    words = "reservations create fans --start now --for 1h --node one --maintenance --reason fans"
    compute(*words.split())
    assert "active" in compute("reservations").stdout
    job = document(compute("run", "-d", "--json", "--project", PROJECT, "--", "true"))["id"]
    until(lambda: "reservation or maintenance" in compute("why", job).stdout)
    compute("reservations", "cancel", "fans")
    compute("wait", job)
    assert document(compute("reservations", "list", "-a", "--json"))["items"][0]["state"] == (
        "cancelled"
    )


def test_mistakes_are_told_with_their_exit_codes(compute: Run) -> None:
    assert "no_such_job" in compute("job", "job-00000000000000000000000000", code=66).stderr
    spec = {"name": "x", "project_id": PROJECT, "comand": ["true"]}
    said = compute("submit", "-f", "-", code=65, text=json.dumps(spec)).stderr
    assert "did you mean 'command'?" in said
    assert (
        "resources.cpu"
        in compute("run", "--project", PROJECT, "--cpu", "lots", "--", "true", code=65).stderr
    )


def test_every_command_has_a_json_form_on_the_real_platform(compute: Run) -> None:
    """The reading half of the table that the other tests hold against their own cell."""
    compute("run", "-d", "--project", PROJECT, "--name", "one", "--", "echo", "hello")
    compute("wait", "one")
    changing = {"run", "submit", "cancel", "suspend", "resume", "requeue", "priority", "wait"}
    changing.add("migrate")
    for name, (words, member) in CASES.items():
        verb = name.split()[-1]
        if name in changing or verb in ("set", "create", "member", "quota", "revoke", "discard"):
            continue
        if verb in ("cordon", "drain", "uncordon", "cancel"):
            continue
        real = ["one" if word == "node-001" else word for word in words]
        assert member in document(compute(*real, "--json")), name
