"""MIG instances over HTTP: offered by an agent, asked for by a job, ordered by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World

CUT = [
    {"profile": "3g.40gb", "start": 4, "size": 4},
    {"profile": "1g.10gb", "start": 0, "size": 1},
]


def cut(world: World) -> Node:
    node = Node(world, gpus=1)
    node.devices[0]["mig"] = CUT
    assert node.register().status_code == 200
    return node


def test_a_job_holds_an_instance_and_is_shown_on_the_node(world: World) -> None:
    node, project = cut(world), world.project()
    wish = {"mig": "1g.10gb", "gpu_type": node.model}
    order = node.run(project, resources=wish)
    [gpu] = [device["id"] for device in node.devices]
    assert order["seat"]["devices"] == [f"{gpu}/1g.10gb@0:1"]
    waits = world.submit(project, resources=wish)
    other = {"gpu": 1, "gpu_type": node.model}
    whole = world.submit(project, resources=other, accept_when_absent=True)
    world.schedule()
    seen = world.caught_up()
    job = world.admin.get(f"/jobs/{order['job']}", min_position=seen).json()
    assert (job["resources"]["mig"], job["resources"]["gpu_milli"]) == ("1g.10gb", 142)
    assert world.admin.get(f"/jobs/{waits}").json()["reason"]["code"] == "insufficient_gpu"
    assert world.admin.get(f"/jobs/{whole}").json()["reason"]["code"] == "gpu_type_absent"
    [device] = world.admin.get(f"/nodes/{node.name}").json()["devices"]
    assert [(each["profile"], each["job"]) for each in device["mig"]] == [
        ("3g.40gb", None),
        ("1g.10gb", order["job"]),
    ]


@pytest.mark.parametrize(
    ("resources", "code", "field"),
    [
        ({"mig": "1g.10gb", "gpu": 1}, "mig_and_gpu", "resources.mig"),
        ({"mig": "10gb"}, "bad_mig_profile", "resources.mig"),
        ({"mig": "8g.80gb"}, "bad_mig_profile", "resources.mig"),
        ({"mig": 1}, "invalid_request", "resources.mig"),
    ],
)
def test_a_wish_that_is_no_profile_is_refused(
    world: World, resources: dict[str, Any], code: str, field: str
) -> None:
    project, head = world.project(), world.store.head()
    job = {"name": "j", "project_id": project, "command": ["true"], "resources": resources}
    problem = check_problem(world.admin.post("/jobs", job), 422, code)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert world.store.head() == head


@pytest.mark.parametrize(
    ("slots", "code"),
    [
        ([{"profile": "2g.20gb", "start": 1, "size": 2}], "bad_devices"),
        ([{"profile": "1g.10gb", "start": 7, "size": 1}], "bad_devices"),
        ([CUT[0], CUT[0]], "bad_devices"),
        ([{"profile": "1c.3g.40gb", "start": 0, "size": 4}], "bad_mig_profile"),
        ([{"profile": "1g.10gb", "start": 8, "size": 1}], "invalid_request"),
    ],
)
def test_an_offer_of_places_that_cannot_be_is_refused(
    world: World, slots: list[dict[str, Any]], code: str
) -> None:
    node = Node(world, gpus=1)
    node.devices[0] |= {"mig": slots, "model": "H100"}
    check_problem(node.register(), 422, code)
