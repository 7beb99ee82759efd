"""Reservations over HTTP: made, shown with their nodes, in force in the plan, cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import Role
from domain.values.time import HOUR, to_text
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import Person, World


def body(world: World, name: str, after_us: int = 0, **fields: Any) -> dict[str, Any]:
    start = to_text(world.store.now() + after_us)
    return {"name": name, "start": start, "duration_seconds": 3600, **fields}


def olga(world: World) -> Person:
    return world.person("olga", Role.OPERATOR)


def ready(world: World) -> Node:
    node = Node(world)
    assert node.register().status_code == 200
    world.caught_up()
    return node


def test_maintenance_keeps_jobs_off_and_says_why_until_it_is_cancelled(world: World) -> None:
    node, project = ready(world), world.project()
    made = olga(world).post(
        "/reservations", body(world, "fans", nodes=[node.name], maintenance=True, reason="fans")
    )
    assert made.status_code == 202, made.text
    assert made.json() == {"name": "fans", "state": "active", "position": made.json()["position"]}
    where = {"constraint": f'node == "{node.name}"'}
    job = world.submit(project, where=where)
    world.schedule()
    seen = world.caught_up()
    answer = world.admin.get(f"/jobs/{job}", min_position=seen).json()
    assert (answer["phase"], answer["reason"]["code"]) == ("queued", "reserved_window")

    shown = world.admin.get("/reservations").json()["items"]
    [fans] = [item for item in shown if item["name"] == "fans"]
    assert fans["window"]["nodes"] == [node.name]
    assert (fans["created_by"], fans["reason"], fans["maintenance"]) == ("olga", "fans", True)

    cancelled = olga(world).send("DELETE", "/reservations/fans")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    world.schedule()
    assert world.job(job).phase == "starting"
    names = [i["name"] for i in world.admin.get("/reservations", min_position=seen).json()["items"]]
    assert "fans" not in names
    past = world.admin.get("/reservations", past=True).json()["items"]
    assert [item["state"] for item in past if item["name"] == "fans"] == ["cancelled"]
    again = olga(world).send("DELETE", "/reservations/fans")
    check_problem(again, 409, "reservation_over")
    check_problem(olga(world).send("DELETE", "/reservations/nothing"), 404, "no_such_reservation")
    check_problem(world.admin.get("/reservations/nothing"), 404, "no_such_reservation")


def test_a_name_is_taken_while_its_reservation_lasts(world: World) -> None:
    node = ready(world)
    wish = body(world, "twice", HOUR, nodes=[node.name], users=["ada"])
    assert olga(world).post("/reservations", wish).status_code == 202
    check_problem(olga(world).post("/reservations", wish), 409, "reservation_exists")
    olga(world).send("DELETE", "/reservations/twice")
    assert olga(world).post("/reservations", wish).status_code == 202
    olga(world).send("DELETE", "/reservations/twice")


def test_readers_see_of_whom_it_is_for_only_what_they_may(world: World) -> None:
    node, mine, other = ready(world), world.project(), world.project()
    wish = body(
        world,
        "shared",
        HOUR,
        nodes=[node.name],
        projects=[mine, other],
        users=["vera", "ada"],
        jobs=[world.submit(other)],
    )
    world.caught_up()
    assert olga(world).post("/reservations", wish).status_code == 202
    seen = world.caught_up()
    vera = world.person("vera", projects={mine: Role.VIEWER})
    found = vera.get("/reservations/shared", min_position=seen).json()
    assert (found["projects"], found["users"], found["jobs"]) == ([mine], ["vera"], [])
    found = olga(world).get("/reservations/shared").json()
    assert (found["projects"], found["users"]) == ([mine, other], ["vera", "ada"])
    assert found["jobs"] == wish["jobs"]
    olga(world).send("DELETE", "/reservations/shared")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"nodes": ["node-of-nobody"]}, "unknown_name", "nodes[0]"),
        ({"projects": ["nothing"], "maintenance": False}, "unknown_name", "projects[0]"),
        ({"jobs": ["job-x"], "maintenance": False}, "unknown_name", "jobs[0]"),
        (
            {"nodes": [], "gpus": 10**6, "users": ["a"], "maintenance": False},
            "too_few_gpus",
            "gpus",
        ),
        ({"maintenance": False}, "bad_reservation", "projects"),
        ({"users": ["ada"]}, "bad_reservation", "users"),
        ({"gpus": 2}, "bad_reservation", "nodes"),
        ({"start": "2001-01-01T00:00:00Z"}, "already_over", "start"),
        ({"start": "2199-01-01T00:00:00"}, "no_time_zone", "start"),
        ({"start": 5}, "invalid_request", "start"),
        ({"until": "2001-01-01T00:00:00Z", "every_seconds": 3600}, "out_of_range", "until"),
        ({"duration_seconds": 0}, "invalid_request", "duration_seconds"),
        ({"duration_seconds": 7200, "every_seconds": 3600}, "out_of_range", "every_seconds"),
        ({"name": "Not A Name"}, "bad_name", "name"),
        ({"noeds": []}, "invalid_request", "noeds"),
    ],
)
def test_bad_ones_are_refused_by_field_and_nothing_is_stored(
    world: World, change: dict[str, Any], code: str, field: str
) -> None:
    node = ready(world)
    wish = body(world, "bad", HOUR, nodes=[node.name], maintenance=True)
    head = world.store.head()
    problem = check_problem(olga(world).post("/reservations", wish | change), 422, code)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert world.store.head() >= head
    assert world.admin.get("/reservations/bad").status_code == 404
