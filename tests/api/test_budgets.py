"""Budgets over HTTP: set as a whole, shown as usage and cost have it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from domain.access import Role
from domain.project.budget import window_at
from domain.scheduling.budgets import Account, Budgets
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import ProjectId
from domain.values.time import from_datetime
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World

BUDGETS = [
    {"per": "month", "gpu_hours": 2.5, "money": "100"},
    {"per": "hours", "length": 24, "user": "*", "gpu_seconds": 7},
]


def test_budgets_that_were_set_are_shown_and_taken_away(world: World) -> None:
    admin, project = world.person("root-of-budgets", Role.ADMIN), world.project()
    answer = admin.send("PUT", f"/projects/{project}/budgets", {"budgets": BUDGETS})
    assert answer.status_code == 202, answer.text
    shown = admin.get(f"/projects/{project}/budgets").json()
    assert shown["budgets"] == [
        {
            "per": "month",
            "length": 1,
            "user": None,
            "gpu_seconds": 9000,
            "money_micro": 100_000_000,
        },
        {"per": "hours", "length": 24, "user": "*", "gpu_seconds": 7, "money_micro": None},
    ]
    [month] = shown["items"]
    assert month["gpu_seconds"] == {"limit": 9000, "used": 0, "reserved": 0, "left": 9000}
    again = admin.send("PUT", f"/projects/{project}/budgets", {"budgets": shown["budgets"]})
    assert again.status_code == 202
    assert admin.get(f"/projects/{project}/budgets").json()["budgets"] == shown["budgets"]
    before = again.json()["position"]
    admin.send("PUT", f"/projects/{project}/budgets", {"budgets": []})
    assert admin.get(f"/projects/{project}/budgets").json()["items"] == []
    then = admin.get(f"/projects/{project}/budgets", as_of=before).json()
    assert then["budgets"] == shown["budgets"]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"gpu_hours": None}, "no_limit", "budgets[0]"),
        ({"length": 2}, "out_of_range", "budgets[0].length"),
        ({"per": "hours", "length": 169}, "out_of_range", "budgets[0].length"),
        ({"per": "year"}, "invalid", "budgets.0.per"),
        ({"gpu_hours": -1}, "invalid", "budgets.0.gpu_hours"),
        ({"gpu_hours": "much"}, "bad_quantity", "budgets[0].gpu_hours"),
        ({"gpu_hours": 1e30}, "invalid", "budgets.0.gpu_hours"),
        ({"money": "1e300"}, "too_large", "budgets[0].money"),
        ({"gpu_seconds": 1}, "given_twice", "budgets[0].gpu_hours"),
        ({"user": "No Such"}, "bad_name", "budgets[0].user"),
    ],
)
def test_a_bad_budget_is_refused_by_field(
    world: World, change: dict[str, Any], code: str, field: str
) -> None:
    admin, project = world.person("root-of-budgets", Role.ADMIN), world.project()
    before = world.store.head()
    body = {"budgets": [{"per": "month", "gpu_hours": 1, **change}]}
    answer = admin.send("PUT", f"/projects/{project}/budgets", body)
    problem = answer.json()
    assert answer.status_code == 422
    assert any(error["field"].startswith(field) for error in problem["errors"]), problem
    if code != "invalid":
        check_problem(answer, 422, code)
    assert world.store.head() == before


def test_two_budgets_for_the_same_are_refused(world: World) -> None:
    admin, project = world.person("root-of-budgets", Role.ADMIN), world.project()
    body = {"budgets": [{"per": "day", "money": 1}, {"per": "day", "gpu_hours": 1}]}
    check_problem(admin.send("PUT", f"/projects/{project}/budgets", body), 422, "duplicate_budget")


def test_what_is_shown_is_what_cost_says_and_the_scheduler_counts(world: World) -> None:
    admin, project = world.person("root-of-budgets", Role.ADMIN), world.project()
    prices = {"currency": "EUR", "cpu_micro": 7, "memory_gib_micro": 0, "gpu_micro": 3_000_001}
    assert admin.send("PUT", "/policy/prices", {**prices, "gpus": {}}).status_code == 202
    node = Node(world, gpus=2)
    node.register()
    budgets = [
        {"per": "month", "gpu_hours": 10, "money": 100},
        {"per": "days", "length": 7, "money": 100},
    ]
    admin.send("PUT", f"/projects/{project}/budgets", {"budgets": budgets})
    shape = {"resources": {"gpu": 1, "gpu_type": node.model}}
    first = world.submit(project, **shape, time_limit_seconds=3600)
    world.submit(project, **shape, time_limit_seconds=5 * 3600)
    late = world.submit(project, **shape, time_limit_seconds=9 * 3600)
    world.schedule()
    order = node.orders()[0]
    node.report(
        {"kind": "started", "allocation": order["allocation"], "rank": 0, "runner": "sandbox"}
    )
    node.report(
        {
            "kind": "ended",
            "allocation": order["allocation"],
            "rank": 0,
            "outcome": "exited",
            "exit_code": 0,
        }
    )
    world.schedule()
    position = world.caught_up()
    shown = admin.get(f"/projects/{project}/budgets", as_of=position)
    for item in shown.json()["items"]:
        window = {"project_id": project, "since": item["since"], "as_of": position}
        assert item["money_micro"]["used"] == admin.get("/cost", **window).json()["total_micro"]
        assert item["money_micro"]["reserved"] > 0
    month = shown.json()["items"][0]["gpu_seconds"]
    assert month["used"] + month["reserved"] + month["left"] <= month["limit"]
    why = world.job(late).waiting
    assert why is not None
    assert why.blocker == f"GPU-hours this month of project {project}"
    assert world.job(first).phase.value == "succeeded"

    snapshot = Snapshot()
    for recorded in world.store.read(0, 10**6):
        if recorded.position <= position:
            snapshot.apply(recorded)
    found = Budgets(snapshot, from_datetime(datetime.fromisoformat(shown.headers["As-Of"])))
    for budget, item in zip(
        snapshot.budgets[ProjectId(project)], shown.json()["items"], strict=True
    ):
        at = from_datetime(datetime.fromisoformat(item["until"])) - 1
        counted = found.committed(Account(project, budget, ""), window_at(budget, at))
        money = item["money_micro"]
        assert counted[1] == money["used"] + money["reserved"]
