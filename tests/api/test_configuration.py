"""The policy as one document: applied whole or not at all, shown again, held against the nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.policy import events as e
from infra.store import stream_of
from tests.api.conftest import MakeWorld
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World

EXAMPLE: dict[str, Any] = {
    "scheduler": {
        "primary_policy": "priority",
        "secondary_policy": "fair_share",
        "enable_preemption": True,
        "enable_backfill": True,
        "enable_gang_scheduling": False,
        "scheduling_interval": 5,
        "fair_share": {"window_hours": 168, "decay_factor": 0.5},
        "preemption": {"grace_period": 300, "priority_threshold": 100, "max_preemptions": 3},
    },
    "clusters": {
        "production": {
            "nodes": [
                {
                    "id": "node-001",
                    "gpus": 8,
                    "gpu_type": "H100",
                    "memory_gb": 512,
                    "cpu_cores": 128,
                }
            ]
        }
    },
}
"""The example of the task, as it stands."""


def test_the_example_is_applied_as_policy_events_and_shown_again(new_world: MakeWorld) -> None:
    world = new_world()
    assert world.admin.send("PUT", "/policy", EXAMPLE).json()["version"] == 2
    world.caught_up()
    recorded = [item.event for item in world.store.stream(stream_of("policy", "cell"))]
    assert [type(event) for event in recorded] == [e.SchedulerSet, e.InventorySet]
    assert isinstance(recorded[0], e.SchedulerSet)
    settings = recorded[0].settings
    assert (settings.interval_seconds, settings.grace_seconds) == (5, 300)
    assert settings.fair_share == e.FairShare(604_800, 500)
    assert settings.preemption == e.PreemptionRules(priority_threshold=100, max_preemptions=3)
    shown = world.admin.get("/policy").json()
    assert shown["clusters"] == EXAMPLE["clusters"]
    assert shown["scheduler"]["cycle_budget_ms"] == settings.cycle_budget_ms == 500
    for name, value in EXAMPLE["scheduler"].items():
        found = shown["scheduler"][name]
        assert found == value or value.items() <= found.items()
    head = world.store.head()
    assert world.admin.send("PUT", "/policy", shown).status_code == 202
    assert world.store.head() == head, "what is shown is what is in force"


def test_a_section_that_is_left_out_stays_and_one_that_is_there_replaces(
    new_world: MakeWorld,
) -> None:
    world = new_world()
    tree = [{"name": "lab", "nominal": {"gpu_milli": 4000}}]
    prices = {"currency": "EUR", "cpu_micro": 1, "memory_gib_micro": 2, "gpu_micro": 3}
    whole = {**EXAMPLE, "cohorts": tree, "prices": prices}
    assert world.admin.send("PUT", "/policy", whole).status_code == 202
    assert world.admin.send("PUT", "/policy", {"scheduler": {}}).status_code == 202
    world.caught_up()
    shown = world.admin.get("/policy").json()
    assert shown["scheduler"]["scheduling_interval"] == 1
    assert shown["clusters"] == EXAMPLE["clusters"]
    assert [cohort["name"] for cohort in shown["cohorts"]] == ["lab"]
    assert shown["prices"]["currency"] == "EUR"
    assert world.admin.send("PUT", "/policy", {"clusters": {}}).status_code == 202
    world.caught_up()
    assert world.admin.get("/policy").json()["clusters"] == {}


def node(**fields: Any) -> dict[str, Any]:
    found = {"id": "n1", "memory_gb": 1, "cpu_cores": 1, **fields}
    return {"clusters": {"c": {"nodes": [{"id": "n0", "memory_gb": 1, "cpu_cores": 1}, found]}}}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"schedular": {}}, "schedular"),
    ({"scheduler": {"primry_policy": "fifo"}}, "scheduler.primry_policy"),
    ({"scheduler": {"primary_policy": "best"}}, "scheduler.primary_policy"),
    ({"scheduler": {"scheduling_interval": 0}}, "scheduler.scheduling_interval"),
    ({"scheduler": {"scheduling_interval": 1.5}}, "scheduler.scheduling_interval"),
    ({"scheduler": {"cycle_budget_ms": 9}}, "scheduler.cycle_budget_ms"),
    ({"scheduler": {"cycle_budget_ms": 1.5}}, "scheduler.cycle_budget_ms"),
    (
        {"scheduler": {"primary_policy": "deadline", "secondary_policy": "deadline"}},
        "scheduler.secondary_policy",
    ),
    ({"scheduler": {"fair_share": {"decay_factor": 1.5}}}, "scheduler.fair_share.decay_factor"),
    ({"scheduler": {"fair_share": {"decay_factor": 0.1234}}}, "scheduler.fair_share.decay_factor"),
    ({"scheduler": {"fair_share": {"window_hours": 0.001}}}, "scheduler.fair_share.window_hours"),
    (
        {"scheduler": {"fair_share": {"window_hours": float("nan")}}},
        "scheduler.fair_share.window_hours",
    ),
    (
        {"scheduler": {"preemption": {"max_preemptions": -1}}},
        "scheduler.preemption.max_preemptions",
    ),
    ({"scheduler": {"overcommit": [{"pool": "a"}, {"pool": "a"}]}}, "scheduler.overcommit"),
    ({"cohorts": [{"name": "a", "parent": "b"}]}, "cohorts.0.parent"),
    (
        {"prices": {"currency": "eur", "cpu_micro": 1, "memory_gib_micro": 1, "gpu_micro": 1}},
        "prices.currency",
    ),
    (node(id="n0"), "clusters.c.nodes.1.id"),
    (node(id="N0"), "clusters.c.nodes.1.id"),
    (node(gpus=8), "clusters.c.nodes.1.gpu_type"),
    (node(gpu_type="H100"), "clusters.c.nodes.1.gpus"),
    (node(gpus=-1), "clusters.c.nodes.1.gpus"),
    (node(gpus=10**30), "clusters.c.nodes.1.gpus"),
    (node(memory_gb=-1), "clusters.c.nodes.1.memory_gb"),
    (node(memory_gb=0), "clusters.c.nodes.1.memory_gb"),
    (node(memory_gb=float("inf")), "clusters.c.nodes.1.memory_gb"),
    (node(cpu_cores=2**60), "clusters.c.nodes.1.cpu_cores"),
    (node(cpus=1), "clusters.c.nodes.1.cpus"),
]


@pytest.mark.parametrize(("bad", "field"), BAD, ids=[field for _, field in BAD])
def test_one_wrong_field_refuses_all_of_it(world: World, bad: dict[str, Any], field: str) -> None:
    body = {"prices": EXAMPLE.get("prices"), "scheduler": {"scheduling_interval": 9}, **bad}
    head = world.store.head()
    for method, path in (("PUT", "/policy"), ("POST", "/policy:check")):
        headers = {"Content-Type": "application/json"}
        answer = world.admin.http.request(method, path, content=json.dumps(body), headers=headers)
        found = check_problem(answer, 422)
        assert [error["field"] for error in found["errors"]] == [field]
    assert world.store.head() == head


def test_a_check_shows_what_would_be_in_force_and_changes_nothing(world: World) -> None:
    head = world.store.head()
    found = world.admin.post("/policy:check", {"scheduler": {"score": "spread"}}).json()
    assert found.keys() == {"scheduler"}
    assert found["scheduler"]["score"] == "spread"
    assert found["scheduler"]["preemption"]["grace_period"] == 30
    assert world.store.head() == head


def test_nodes_show_who_is_absent_and_who_is_not_as_expected(new_world: MakeWorld) -> None:
    world = new_world()
    there = Node(world)
    wanted = [
        {"id": there.name, "gpus": 4, "gpu_type": "H100", "memory_gb": 68, "cpu_cores": 32},
        {"id": "node-away", "gpus": 8, "gpu_type": "h100", "memory_gb": 512, "cpu_cores": 128},
    ]
    body = {"clusters": {"production": {"nodes": wanted}}}
    assert world.admin.send("PUT", "/policy", body).status_code == 202
    there.register()
    other = Node(world)
    other.register()
    before = world.caught_up()
    items = {item["id"]: item for item in world.admin.get("/nodes").json()["items"]}
    assert items.keys() == {there.name, "node-away", other.name}
    assert items[there.name]["mismatches"] == ["fewer_gpus", "other_gpus", "less_cpu"]
    assert items["node-away"]["absent"]
    assert not items["node-away"]["alive"]
    assert items["node-away"]["capacity"]["gpu"] == 8
    assert [items[name]["cluster"] for name in (there.name, other.name)] == ["production", ""]
    assert world.admin.get("/nodes/node-away").json() == items["node-away"]
    assert world.admin.send("PUT", "/policy", {"clusters": {}}).status_code == 202
    world.caught_up()
    check_problem(world.admin.get("/nodes/node-away"), 404, "no_such_node")
    assert world.admin.get("/nodes/node-away", as_of=before).status_code == 200


def test_jobs_are_judged_by_the_nodes_that_are_expected_too(new_world: MakeWorld) -> None:
    world = new_world()
    project = world.project()
    assert world.admin.send("PUT", "/policy", EXAMPLE).status_code == 202
    world.caught_up()

    def ask(gpus: int) -> int:
        job = {"name": "job", "project_id": project, "command": ["true"]}
        want = {"resources": {"gpu": gpus, "gpu_type": "H100"}}
        return world.admin.post("/jobs", {**job, **want}).status_code

    assert (ask(8), ask(9)) == (201, 422)
    want = {"resources": {"gpu": 9}, "name": "j", "project_id": project, "command": ["true"]}
    assert world.admin.post("/jobs:dry-run", want).json()["forecast"] == "can_never_run"
