"""Audits over HTTP: lines from a process of its own, one at a time, refused in plain problems."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api import decisions
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World


@pytest.fixture(scope="module")
def job(world: World) -> str:
    """A job that runs."""
    node = Node(world)
    assert node.register().status_code == 200
    found: str = node.run(world.project("audited"))["job"]
    return found


def lines(world: World, kind: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = world.admin.post(f"/audit/{kind}", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == decisions.LINES
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_replay_confirms_the_log(world: World, job: str) -> None:
    result = lines(world, "replay", {})[-1]["result"]
    assert result["difference"] is None
    assert result["decisions"] >= 2
    assert result["to"] >= result["position"] > 0


def test_a_job_is_explained(world: World, job: str) -> None:
    result = lines(world, "explain", {"job": job})[-1]["result"]
    assert (result["job"], result["phase"]) == (job, world.job(job).phase)
    assert result["decision"]["confirmed"] is True


def test_the_record_is_rehearsed(world: World, job: str) -> None:
    wish = {"policy": {"enable_preemption": False}, "quotas": {"audited": {"gpu": 0}}}
    body = {**wish, "nodes": [{"count": 2, "model": "H100"}]}
    result = lines(world, "whatif", body)[-1]["result"]
    assert result["happened"]["projects"]["audited"]["submitted"] == 1
    assert result["as_recorded"]["projects"]["audited"]["placed"] == 1


@pytest.mark.parametrize(
    ("kind", "body", "code", "field"),
    [
        ("replay", {"from": "yesterday"}, "bad_moment", "from"),
        ("replay", {"from": "9", "to": "2"}, "bad_window", "from"),
        ("replay", {"until": "9"}, "invalid_request", "until"),
        ("replay", {"from": 9}, "invalid_request", "from"),
        ("explain", {}, "invalid_request", "job"),
        ("explain", {"job": "x", "at": "2026-01-01T00:00:00"}, "bad_moment", "at"),
        ("whatif", {"policy": {"grace": 1}}, "no_such_setting", "policy.grace"),
        ("whatif", {"policy": {"grace_seconds": -1}}, "out_of_range", "grace_seconds"),
        ("whatif", {"policy": {"grace_seconds": 2**70}}, "out_of_range", "grace_seconds"),
        ("whatif", {"policy": {"grace_seconds": []}}, "bad_policy", "policy"),
        ("whatif", {"quotas": {"p": {"gpu": -1}}}, "invalid_request", "quotas.p.gpu"),
        ("whatif", {"nodes": [{"count": -99, "model": "H100"}]}, "no_such_nodes", "nodes"),
        ("whatif", {"nodes": [{"count": 10**6}]}, "invalid_request", "nodes.0.count"),
    ],
)
def test_bad_requests_are_refused_by_field(
    world: World, job: str, kind: str, body: dict[str, Any], code: str, field: str
) -> None:
    head = world.store.head()
    found = check_problem(world.admin.post(f"/audit/{kind}", body), 422, code)
    assert [error["field"] for error in found["errors"]] == [field]
    assert world.store.head() == head


def test_a_job_nobody_knows_is_not_found(world: World) -> None:
    check_problem(world.admin.post("/audit/explain", {"job": "none"}), 404, "no_such_job")


def test_one_at_a_time(world: World, job: str) -> None:
    with decisions._turn:
        check_problem(world.admin.post("/audit/replay", {}), 409, "audit_busy")
    assert lines(world, "replay", {})[-1]["result"]


def test_whoever_leaves_gives_the_turn_back(world: World, job: str) -> None:
    with world.admin.http.stream("POST", "/audit/replay", json={}) as answer:
        assert answer.status_code == 200
    assert decisions._turn.acquire(timeout=20)
    decisions._turn.release()
    assert lines(world, "replay", {})[-1]["result"]
