"""`--at` of the command line, against the real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compute_platform.client import Client
from compute_platform.errors import Misused
from compute_platform.main import command
from domain.access import Role
from tests.api.node import Node
from tests.api.world import World

Compute = Callable[..., Result]


@pytest.fixture
def compute(world: World) -> Compute:
    """Run `compute WORDS` on the cell; its result."""

    def run(*words: str) -> Result:
        assert world.admin.token is not None
        env = {"COMPUTE_URL": world.url, "COMPUTE_TOKEN": world.admin.token, "COLUMNS": "120"}
        return CliRunner().invoke(command, words, env=env, prog_name="compute")

    return run


def read(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_each_command_shows_what_was_so_then(world: World, compute: Compute) -> None:
    project = world.project()
    node = Node(world)
    node.register()
    job = world.submit(project, name="of-the-past")
    commands = [
        ["ps", "--all", "--mine"],
        ["job", job],
        ["why", "of-the-past", "--quick"],
        ["queue"],
        ["pools"],
        ["nodes"],
        ["nodes", "list"],
        ["nodes", "show", node.name],
        ["projects", "list"],
        ["projects", "show", project],
        ["policy", "show"],
        ["policy", "show", "prices"],
        ["token", "list"],
    ]
    prices = {"currency": "EUR", "cpu_micro": 1, "memory_gib_micro": 1, "gpu_micro": 5}
    assert world.admin.send("PUT", "/policy/prices", prices).status_code == 202
    position = world.caught_up()
    then = [read(compute(*words, "--json")) for words in commands]
    assert world.admin.post(f"/jobs/{job}/cancel", {}).status_code == 202
    assert world.admin.post(f"/nodes/{node.name}/cordon", {"reason": "x"}).status_code == 202
    assert world.admin.send("PUT", "/policy/scheduler", {"grace_seconds": 3}).status_code == 202
    assert world.admin.send("PUT", "/policy/prices", {**prices, "gpu_micro": 6}).status_code == 202
    world.project()
    world.person("later", projects={project: Role.VIEWER})
    assert world.admin.send("PUT", f"/projects/{project}/quota", {"gpu": 3}).status_code == 202
    world.submit(project, name="of-the-past")
    for words, said in zip(commands, then, strict=True):
        assert read(compute(*words, "--json", "--at", str(position))) == said, words
        now = compute(*words, "--json")
        if words[0] == "why":
            assert now.exit_code == 2, "by now two jobs have that name"
        else:
            assert read(now) != said or words == ["pools"], words
    for words in (["usage"], ["cost"]):
        assert read(compute(*words, "--json", "--at", str(position)))["items"] == []


def test_times_and_how_long_ago(world: World, compute: Compute) -> None:
    project = world.project()
    world.submit(project)
    done = compute("queue", "--at", "-365d", "--json")
    assert read(done)["items"] == []
    at = world.admin.get("/queue", as_of=world.caught_up()).headers["As-Of"]
    assert read(compute("queue", "--at", at, "--json"))["items"] != []


def test_a_moment_there_is_not_is_told_with_the_forms_there_are(compute: Compute) -> None:
    done = compute("ps", "--at", "yesterday")
    assert done.exit_code == 65
    assert "-10m" in done.output


def test_watching_the_past_and_changing_it_are_refused(world: World, compute: Compute) -> None:
    assert compute("ps", "--watch", "--at", "1").exit_code == 2
    done = compute("nodes", "--at", "1", "cordon", "node-1")
    assert done.exit_code == 2
    assert "past" in done.output
    client = Client(world.url, world.admin.token or "", as_of="1")
    with pytest.raises(Misused):
        client.cancel("job-1")


def test_the_pages_and_parts_of_one_command_are_of_one_moment(world: World) -> None:
    """How long ago is said once: what happens between two pages does not show."""
    project = world.project()
    jobs = [world.submit(project) for _ in range(3)]
    client = Client(world.url, world.admin.token or "", as_of="-0s")
    first = client.jobs(project=project, limit=1)
    world.submit(project)
    assert [job["id"] for job in client.jobs(project=project)["items"]] == jobs[::-1]
    assert client.job(jobs[2])["id"] == first["items"][0]["id"]
