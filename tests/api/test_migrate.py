"""Migration over HTTP: a running job moves between nodes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from domain.job import events as e
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World

BAD: list[tuple[Any, str]] = [
    ({"to": ""}, "to"),
    ({"to": 7}, "to"),
    ({"to": "n" * 257}, "to"),
    ({"to": ["node-1"]}, "to"),
    ({"node": "node-1"}, "node"),
    ([], ""),
    ("node-1", ""),
]


def registered(world: World, model: str | None = None, gpus: int = 1) -> Node:
    """A node, if need be with GPUs of another's model."""
    node = Node(world, gpus)
    if model is not None:
        node.model = model
        node.devices = [{**device, "model": model} for device in node.devices]
    assert node.register().status_code == 200
    return node


@pytest.mark.parametrize("named", [True, False])
def test_a_job_moves_from_one_node_to_another(world: World, named: bool) -> None:
    here, _ = registered(world), registered(world)
    order = here.run(world.project())
    job = order["job"]
    answer = world.admin.post(f"/jobs/{job}/migrate")
    assert (answer.status_code, answer.json()["phase"]) == (202, "running")
    world.schedule()
    world.caught_up()
    shown = world.admin.get(f"/jobs/{job}").json()
    assert shown["phase"] == "running"
    assert shown["migration"]["leaves"] == [here.name]
    assert (shown["migration"]["to"], shown["migration"]["found"]) == (None, [])
    assert shown["migration"]["reason"]["code"] == "gpu_type_absent"
    why = world.admin.get(f"/jobs/{job}/why").json()
    assert why["migration"] == shown["migration"]
    assert "It is to move elsewhere. No node has GPUs of a type the job accepts." in why["summary"]

    there = registered(world, here.model)
    if named:
        body = {"to": there.name}
        assert world.admin.post(f"/jobs/{job}/migrate", body).status_code == 202
    world.schedule()
    world.caught_up()
    shown = world.admin.get(f"/jobs/{job}").json()
    assert (shown["phase"], shown["migration"]["found"]) == ("preempting", [there.name])
    assert shown["preemptions"] == 0
    summary = world.admin.get(f"/jobs/{job}/why").json()["summary"]
    assert summary.startswith(f"Moving to {there.name}: it may save until ")
    here.say(here.ended(order, "stopped", None))
    [moved] = there.orders()
    assert (moved["job"], moved["attempt"]) == (job, 2)
    there.say(there.started(moved))
    world.caught_up()
    shown = world.admin.get(f"/jobs/{job}").json()
    assert (shown["phase"], shown["nodes"], shown["migration"]) == ("running", [there.name], None)
    told = [moment["text"] for moment in world.admin.get(f"/jobs/{job}/why").json()["history"]]
    assert "queued: migrated" in told
    assert f"asked to move, away from {here.name}, once there is room" in told


def test_a_request_is_withdrawn(world: World) -> None:
    here = registered(world)
    job = here.run(world.project())["job"]
    world.caught_up()
    check_problem(world.admin.send("DELETE", f"/jobs/{job}/migrate"), 409, "no_migration")
    assert world.admin.post(f"/jobs/{job}/migrate", {"to": None}).status_code == 202
    assert world.admin.send("DELETE", f"/jobs/{job}/migrate").status_code == 202
    registered(world, here.model)
    world.schedule()
    world.caught_up()
    shown = world.admin.get(f"/jobs/{job}").json()
    assert (shown["phase"], shown["migration"]) == ("running", None)


@pytest.mark.parametrize(("body", "field"), BAD)
def test_a_bad_body_is_refused_and_nothing_is_recorded(world: World, body: Any, field: str) -> None:
    job = registered(world).run(world.project())["job"]
    world.caught_up()
    head = world.store.head()
    problem = check_problem(world.admin.post(f"/jobs/{job}/migrate", body), 422)
    assert any(field in error["field"] for error in problem["errors"])
    assert world.store.head() == head


def test_where_it_cannot_go_is_refused_with_the_field_and_the_fix(world: World) -> None:
    here, other = registered(world, gpus=4), registered(world)
    wide = {"resources": {"gpu": 1, "gpu_type": here.model}, "replicas": 2}
    gang = world.submit(world.project(), **wide)
    world.schedule()
    for order in (found := here.orders()):
        here.say(here.started(order))
    assert len(found) == 2
    small = registered(world, here.model, gpus=1)
    world.caught_up()
    head = world.store.head()
    for to, code, part in (
        ("node-that-never-was", "unknown_name", "there is no node node-that-never-was"),
        (here.name, "already_on_node", f"the job runs on {here.name}"),
        (other.name, "cannot_hold", "all 2 seats of the gang even if nothing else ran"),
        (small.name, "cannot_hold", "1 of them fit"),
    ):
        problem = check_problem(world.admin.post(f"/jobs/{gang}/migrate", {"to": to}), 422, code)
        assert problem["field"] == "to"
        assert part in problem["detail"]
        assert "another" in problem["detail"] or code == "unknown_name"
    assert world.store.head() == head


def test_what_does_not_run_or_is_on_its_way_out_does_not_move(world: World) -> None:
    node, project = registered(world), world.project()
    waits = world.submit(project, resources={"gpu": 64}, accept_when_absent=True)
    world.caught_up()
    check_problem(world.admin.post(f"/jobs/{waits}/migrate"), 409, "wrong_phase")
    job = node.run(project)["job"]
    world.caught_up()
    assert world.admin.post(f"/jobs/{job}/suspend").status_code == 202
    check_problem(world.admin.post(f"/jobs/{job}/migrate"), 409, "already_stopping")


def test_a_request_is_over_when_the_job_is_stopped(world: World) -> None:
    node = registered(world)
    job = node.run(world.project())["job"]
    world.caught_up()
    assert world.admin.post(f"/jobs/{job}/migrate").status_code == 202
    assert world.admin.post(f"/jobs/{job}/suspend").status_code == 202
    world.caught_up()
    assert world.admin.get(f"/jobs/{job}").json()["migration"] is None


def test_the_same_request_twice_is_one(world: World) -> None:
    job = registered(world).run(world.project())["job"]
    world.caught_up()
    for _ in range(2):
        assert world.admin.post(f"/jobs/{job}/migrate", {"to": None}).status_code == 202
    stream = world.store.stream(f"job/{job}")  # type: ignore[arg-type]
    assert sum(isinstance(item.event, e.MigrationRequested) for item in stream) == 1
