"""--json: on every command that prints data, the API's own documents."""

from __future__ import annotations

import json

import click
import pytest

from compute_platform.main import command
from tests.cli.cell import RUNNING, Cell, ended
from tests.cli.conftest import Compute

CASES: dict[str, tuple[list[str], str]] = {
    # words, and what the document must hold
    "run": (["run", "--detach", "--project", "p", "--", "true"], "id"),
    "submit": (["submit", "-f", "-"], "id"),
    "ps": (["ps"], "items"),
    "job": (["job", "one"], "id"),
    "why": (["why", "one"], "summary"),
    "logs": (["logs", "one"], "offset"),
    "wait": (["wait", "done"], "id"),
    "cancel": (["cancel", "one"], "phase"),
    "suspend": (["suspend", "one"], "phase"),
    "resume": (["resume", "one"], "phase"),
    "requeue": (["requeue", "done"], "phase"),
    "migrate": (["migrate", "runs"], "phase"),
    "priority": (["priority", "one", "5"], "phase"),
    "nodes": (["nodes"], "items"),
    "nodes list": (["nodes", "list"], "items"),
    "nodes show": (["nodes", "show", "node-001"], "capacity"),
    "nodes cordon": (["nodes", "cordon", "node-001"], "cordoned"),
    "nodes drain": (["nodes", "drain", "node-001"], "cordoned"),
    "nodes uncordon": (["nodes", "uncordon", "node-001"], "cordoned"),
    "reservations": (["reservations"], "items"),
    "reservations list": (["reservations", "list", "-a"], "items"),
    "reservations create": (
        [
            "reservations",
            "create",
            "new",
            "--start",
            "+2h",
            "--for",
            "4h",
            "--node",
            "node-001",
            "--maintenance",
        ],
        "state",
    ),
    "reservations cancel": (["reservations", "cancel", "new"], "state"),
    "pools": (["pools"], "items"),
    "queue": (["queue"], "by_reason"),
    "events": (["events"], "items"),
    "admin views": (["admin", "views"], "head"),
    "admin rebuild": (["admin", "rebuild", "jobs"], "rebuild"),
    "audit replay": (["audit", "replay"], "receipts"),
    "audit explain": (["audit", "explain", "one"], "decision"),
    "audit whatif": (["audit", "whatif"], "as_wished"),
    "admin quarantine list": (["admin", "quarantine", "list"], "items"),
    "admin quarantine retry": (["admin", "quarantine", "retry"], "consumers"),
    "admin quarantine discard": (
        ["admin", "quarantine", "discard", "job/x", "17", "--reason", "x"],
        "consumers",
    ),
    "policy show": (["policy", "show"], "scheduler"),
    "policy diff": (["policy", "diff", "-f", "-"], "differences"),
    "policy set": (["policy", "set", "scheduler", "grace_seconds=5"], "version"),
    "projects": (["projects"], "items"),
    "projects list": (["projects", "list"], "items"),
    "projects create": (["projects", "create", "new"], "id"),
    "projects show": (["projects", "show", "ml-research"], "quota"),
    "projects member": (["projects", "member", "ml-research", "bob"], "id"),
    "projects budget show": (["projects", "budget", "show", "ml-research"], "items"),
    "projects budget set": (
        ["projects", "budget", "set", "ml-research", "--per", "month", "--money", "100"],
        "id",
    ),
    "projects inherit": (["projects", "inherit", "ml-research", "100"], "id"),
    "projects quota": (["projects", "quota", "ml-research", "--gpus", "4"], "id"),
    "usage": (["usage"], "items"),
    "cost": (["cost"], "total_micro"),
    "token create": (["token", "create", "bob", "--role", "viewer"], "token"),
    "token list": (["token", "list"], "items"),
    "token revoke": (["token", "revoke", "token-1"], "id"),
    "whoami": (["whoami"], "principal"),
}
WITHOUT = {
    "up",  # becomes the server
    *(
        f"audit {name}" for name in ("head", "export", "prove", "verify")
    ),  # tests/cli/test_verify.py
}


def _commands(group: click.Group, before: str = "") -> list[str]:
    ctx, found = click.Context(group), []
    for name in group.list_commands(ctx):
        inner = group.get_command(ctx, name)
        if isinstance(inner, click.Group):
            found += _commands(inner, f"{before}{name} ")
            if not inner.invoke_without_command:
                continue
        found.append(f"{before}{name}")
    return found


def test_every_command_is_covered() -> None:
    assert set(_commands(command)) - WITHOUT == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_json(compute: Compute, cell: Cell, name: str) -> None:
    cell.add(name="one", log=b"hello\n")
    cell.add(name="done", **ended("succeeded", 0))
    cell.add(name="runs", **RUNNING)
    words, member = CASES[name]
    spec = json.dumps({"name": "x", "project_id": "p", "command": ["true"]})
    if name == "policy diff":
        spec = json.dumps({"scheduler": {"scheduling_interval": 5}})
    result = (
        compute(*words, "--json", text=spec)
        if name != "run"
        else compute("run", "--json", *words[1:])
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert member in document
    assert "\x1b" not in result.stdout


def test_unknown_fields_of_the_server_are_passed_on(compute: Compute, cell: Cell) -> None:
    cell.add(name="one")
    assert json.loads(compute("job", "one", "--json").stdout)["not_in_the_contract_yet"] is True
