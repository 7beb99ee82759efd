"""Impossible jobs over HTTP: refused with the nodes counted, nothing stored, unless asked."""

from __future__ import annotations

from typing import Any

from domain.values.time import SECOND, to_text
from tests.api.conftest import MakeWorld
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World


def body(project: str, **fields: Any) -> dict[str, Any]:
    return {"name": "job", "project_id": project, "command": ["true"], **fields}


def test_before_the_first_node_everything_is_accepted_then_judged(new_world: MakeWorld) -> None:
    world = new_world()
    project = world.project()
    big = body(project, resources={"gpu": 64})
    assert world.admin.post("/jobs", big).status_code == 201
    node = Node(world)
    node.register()
    world.caught_up()
    head = world.store.head()
    found = check_problem(world.admin.post("/jobs", big), 422, "never_fits")
    assert found["errors"][0]["field"] == "resources.gpu"
    assert found["excluded"] == {"gpu_size": 1}
    assert found["nodes"] == 1
    assert found["fix"] == "ask for at most 2 a seat"
    assert world.store.head() == head
    assert world.admin.post("/jobs", {**big, "accept_when_absent": True}).status_code == 201
    second = Node(world, gpus=64)
    second.register()
    world.caught_up()
    assert world.admin.post("/jobs", big).status_code == 201


def test_a_lost_or_cordoned_node_refuses_no_job(world: World) -> None:
    project, node, other = world.project(), Node(world), Node(world)
    for each in (node, other):
        each.register()
    job = body(project, resources={"gpu": 2, "gpu_type": node.model})
    world.admin.post(f"/nodes/{node.name}/cordon", {"reason": "fan"})
    world.caught_up()
    assert world.admin.post("/jobs", job).status_code == 201
    node.register(boot="boot-2")  # what it ran before is over
    world.caught_up()
    assert world.admin.post("/jobs", job).status_code == 201


def test_a_batch_is_refused_whole_and_names_the_job(world: World) -> None:
    project, node = world.project(), Node(world)
    node.register()
    world.caught_up()
    jobs = [body(project), body(project, resources={"gpu": 1, "gpu_type": "T9000"})]
    head = world.store.head()
    found = check_problem(world.admin.post("/jobs:batch", {"jobs": jobs}), 422, "never_fits")
    assert found["errors"][0]["field"] == "jobs.1.resources.gpu_type"
    assert world.store.head() == head


def test_what_was_answered_is_answered_again_whatever_the_fleet_became(
    new_world: MakeWorld,
) -> None:
    world = new_world()
    job = body(world.project(), resources={"gpu": 64})
    first = world.admin.post("/jobs", job, key="once")
    Node(world).register()
    world.caught_up()
    again = world.admin.post("/jobs", job, key="once")
    assert (again.status_code, again.content) == (201, first.content)
    check_problem(world.admin.post("/jobs", job, key="twice"), 422, "never_fits")


def test_a_deadline_that_cannot_be_met_is_refused(world: World) -> None:
    project = world.project()
    soon = to_text(world.store.now() + 60 * SECOND)
    head = world.store.head()
    job = body(project, deadline=soon, estimate_seconds=3600)
    found = check_problem(world.admin.post("/jobs", job), 422, "cannot_meet_deadline")
    assert found["errors"][0]["field"] == "deadline"
    assert found["earliest_end"] > soon
    assert world.store.head() == head
    assert world.admin.post("/jobs", {**job, "estimate_seconds": 30}).status_code == 201
