"""Errors: what happened, why, what to do, the request id, and the exit code by kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compute_platform import exits
from compute_platform.client import Client
from compute_platform.errors import Misused, Problem, Unexpected, problem
from compute_platform.transport import segment
from tests.cli.cell import Cell, ended
from tests.cli.conftest import Compute

MISTAKES: dict[str, tuple[list[str], int, list[str]]] = {
    "unknown command": (["sumbit"], 2, ["No such command 'sumbit'", "'submit'"]),
    "unknown subcommand": (["nodes", "cordn"], 2, ["No such command 'cordn'", "'cordon'"]),
    "unknown option": (["ps", "--projct", "x"], 2, ["No such option '--projct'", "'--project'"]),
    "no words": (["run"], 2, ["Missing argument"]),
    "no file": (["submit"], 2, ["'-f'"]),
    "absent file": (["submit", "-f", "/absent.json"], 2, ["cannot be read", "/absent.json"]),
    "bad duration": (["run", "--time-limit", "soon", "--", "x"], 2, ["'soon'", "1h30m"]),
    "bad env": (["run", "--env", "NO_SUCH_NAME_HERE", "--", "x"], 2, ["NAME=VALUE"]),
    "negative gpus": (["run", "--gpus", "-1", "--", "x"], 2, ["--gpus"]),
    "no such job": (["job", "absent"], 66, ["'absent'", "compute ps -a"]),
    "no such id": (["logs", f"job-{'0' * 26}"], 66, ["no such job (404 no_such_job)", "req-7"]),
    "no such node": (["nodes", "drain", "node-9"], 66, ["no such node", "req-7"]),
    "ended job": (["cancel", "done"], 65, ["the job is succeeded", "409 wrong_phase", "req-7"]),
    "no such project": (["run", "--project", "nowhere", "--", "x"], 66, ["no such project"]),
    "over quota": (["run", "--project", "spent", "--", "x"], 65, ["429", "compute projects show"]),
    "no such setting": (["policy", "set", "scheduler", "grace=1"], 2, ["mean grace_seconds"]),
    "setting without value": (["policy", "set", "scheduler", "grace"], 2, ["NAME=VALUE"]),
    "nothing to set": (["policy", "set", "scheduler"], 2, ["--file"]),
    "no limit named": (["projects", "quota", "ml-research"], 2, ["--gpus"]),
    "bad limit": (["projects", "quota", "ml-research", "--gpus", "many"], 2, ["'many'", "none"]),
    "bad grant": (["token", "create", "bob", "--project", "p"], 2, ["PROJECT=ROLE"]),
    "bad role": (["token", "create", "bob", "--role", "king"], 2, ["king"]),
    "bad time": (["cost", "--since", "yesterday"], 2, ["'yesterday'", "7d"]),
    "bad address": (["ps", "--url", "localhost:80"], 2, ["'localhost:80'", "http://HOST:PORT"]),
    "path in a name": (["nodes", "show", ".."], 2, ["'..' is not a name"]),
    "bad token": (["ps", "--token-file", __file__], 2, ["copy it again"]),
    "absent token file": (["ps", "--token-file", "/absent"], 2, ["cannot be read"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(compute: Compute, cell: Cell, name: str) -> None:
    cell.add(name="done", **ended("succeeded", 0))
    words, code, texts = MISTAKES[name]
    result = compute(*words)
    assert result.exit_code == code, result.stderr
    for text in texts:
        assert text in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_wrong_fields_are_listed_with_the_nearest_name(compute: Compute) -> None:
    spec = {"name": "x", "comand": ["true"], "project_id": "p", "resources": {"gpus": 2}}
    result = compute("submit", "-f", "-", text=json.dumps(spec))
    assert result.exit_code == 65
    assert result.stderr.splitlines() == [
        "compute: error: The server refused the request (422 invalid_request)",
        "  comand: unknown field; did you mean 'command'?",
        "  resources.gpus: unknown field; did you mean 'gpu'?",
        "  command: Field required",
        "  Change the request as said, then send it again.",
        "  request id: req-7",
    ]


def test_nearest_name_is_added_where_the_server_leaves_it_out_of_the_text() -> None:
    errors = [{"field": "nam", "detail": "unknown field", "nearest": "name"}]
    assert "  nam: unknown field; did you mean `name`?" in problem(422, {"errors": errors}).lines()


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"COMPUTE_TOKEN": "wrong"}, 77, "401 unauthorized"),
        ({"COMPUTE_TOKEN": None}, 2, "COMPUTE_TOKEN is not set"),
        ({"COMPUTE_TOKEN": " "}, 2, "COMPUTE_TOKEN is not set"),
        ({"COMPUTE_URL": None}, 2, "COMPUTE_URL is not set"),
        ({"COMPUTE_URL": "ftp://x"}, 2, "'ftp://x' is not a server's address"),
        ({"COMPUTE_URL": "http://"}, 2, "is not a server's address"),
        ({"COMPUTE_URL": "http://h:port"}, 2, "is not a server's address"),
        ({"COMPUTE_URL": "http://no.such.host.invalid"}, 69, "No answer from"),
    ],
)
def test_who_and_where(
    compute: Compute, settings: dict[str, str | None], code: int, text: str
) -> None:
    result = compute("ps", "--retry-for", "0", **settings)
    assert (result.exit_code, text in result.stderr) == (code, True), result.stderr


def test_viewer_may_look_but_not_touch(compute: Compute, cell: Cell) -> None:
    cell.add(name="a")
    assert compute("ps", COMPUTE_TOKEN="viewer").exit_code == 0
    result = compute("cancel", "a", COMPUTE_TOKEN="viewer")
    assert result.exit_code == 77
    assert "compute whoami" in result.stderr


def test_token_from_a_file(compute: Compute, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert compute("ps", "--token-file", str(file), COMPUTE_TOKEN=None).exit_code == 0
    assert compute("--token-file", str(file), "ps", COMPUTE_TOKEN="wrong").exit_code == 0


def test_connection_options_after_every_command(compute: Compute, url: str) -> None:
    words = ["nodes", "list", "--url", url, "--retry-for", "1"]
    assert compute(*words, COMPUTE_URL=None).exit_code == 0


def test_answer_that_is_not_the_platforms(compute: Compute, url: str) -> None:
    client = Client(url, "secret")
    with pytest.raises(Problem, match="Not Found"):
        client.read("/absent")
    client.transport._prefix = "/elsewhere"
    with pytest.raises(Problem):
        client.read("/jobs")


def test_names_cannot_leave_their_place_in_a_path() -> None:
    assert segment("a/../b?c#d%") == "a%2F..%2Fb%3Fc%23d%25"
    for text in ("", ".", ".."):
        with pytest.raises(Misused):
            segment(text)


def test_kinds_by_status() -> None:
    kinds = {401: 77, 403: 77, 404: 66, 400: 65, 409: 65, 422: 65, 429: 65, 503: 69, 500: 70}
    for status, code in kinds.items():
        assert problem(status, {}).exit_code == code


def test_codes_are_distinct_and_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    for code, meaning in exits.TABLE.items():
        assert f"| {code} | {meaning} |" in text
    assert Unexpected.exit_code in exits.TABLE
