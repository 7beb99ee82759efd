"""Jobs that come after others, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.problem import check_problem
from tests.api.world import World


def _job(project: str, *after: dict[str, Any]) -> dict[str, Any]:
    return {"name": "later", "project_id": project, "command": ["true"], "after": list(after)}


def test_a_job_that_comes_after_another_is_blocked_and_told_everywhere(world: World) -> None:
    project = world.project()
    first = world.submit(project, hold=True)
    answer = world.admin.post("/jobs", _job(project, {"job": first}))
    assert answer.status_code == 201, answer.text
    world.caught_up()
    later = world.admin.get(f"/jobs/{answer.json()['id']}").json()
    assert (later["phase"], later["reason"]["code"]) == ("blocked", "dependency")
    assert later["after"] == [{"job": first, "on": "ok"}]
    why = world.admin.get(f"/jobs/{later['id']}/why").json()
    assert why["summary"] == f"Not in the queue yet. It comes after {first}."
    queue = world.admin.get("/queue", project_id=project).json()
    assert (queue["by_reason"], queue["total"], queue["items"]) == ({"dependency": 1}, 1, [])
    world.admin.post(f"/jobs/{first}/cancel", {})
    world.schedule()
    ended = world.admin.get(f"/jobs/{later['id']}").json()
    assert ended["phase"] == "cancelled"
    assert ended["detail"] == f"{first}, which it came after, did not succeed"
    assert first in world.admin.get(f"/jobs/{later['id']}/why").json()["history"][-1]["text"]


@pytest.mark.parametrize("where", ["nowhere", "foreign", "twice", "failed", "odd"])
def test_what_cannot_be_waited_for_is_refused_by_field(world: World, where: str) -> None:
    project = world.project()
    mine, foreign = world.submit(project, hold=True), world.submit(world.project(), hold=True)
    named = {"nowhere": ["job-none"], "foreign": [foreign], "odd": ["Job 1"]}.get(where, [mine])
    if where == "twice":
        named = [mine, mine]
    if where == "failed":
        world.admin.post(f"/jobs/{mine}/cancel", {})
    before = world.caught_up()
    body = _job(project, *({"job": name} for name in named))
    field = f"after.{len(named) - 1}.job"
    problem = check_problem(world.admin.post("/jobs", body), 422)
    assert problem["errors"][0]["field"] == field, problem
    batch = check_problem(world.admin.post("/jobs:batch", {"jobs": [body]}), 422)
    assert batch["errors"][0]["field"] == f"jobs.0.{field}"
    assert world.store.head() == before
    if where in ("nowhere", "foreign"):
        assert problem["code"] == "unknown_job", "who may not see it is not told that it exists"
