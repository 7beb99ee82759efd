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


def test_what_a_job_inherits_is_shown_beside_its_own_priority(world: World) -> None:
    project = world.project()
    set_most = f"/projects/{project}/inheritance"
    assert world.admin.send("PUT", set_most, {"max_priority": 100}).status_code == 202
    first = world.submit(project, priority=2, accept_when_absent=True)
    middle = world.admin.post("/jobs", _job(project, {"job": first})).json()["id"]
    last = {**_job(project, {"job": middle}), "priority": 9}
    last_id = world.admin.post("/jobs", last).json()["id"]

    def shown(**query: Any) -> list[tuple[int, int | None]]:
        world.caught_up()
        found = [
            world.admin.get(f"/jobs/{first}", **query).json(),
            *(j for j in world.admin.get("/jobs", **query).json()["items"] if j["id"] == first),
            *world.admin.get("/queue", project_id=project, **query).json()["items"],
        ]
        return [(each["priority"], each["inherited_priority"]) for each in found]

    assert shown() == [(2, 9)] * 3
    then = world.caught_up()
    assert world.admin.send("PUT", set_most, {"max_priority": 4}).status_code == 202
    assert shown() == [(2, 4)] * 3
    assert world.admin.send("PATCH", f"/jobs/{first}", {"priority": 4}).status_code == 202
    assert shown() == [(4, None)] * 3, "it stands no higher than by itself"
    assert world.admin.send("PATCH", f"/jobs/{first}", {"priority": 1}).status_code == 202
    assert world.admin.post(f"/jobs/{last_id}/cancel", {}).status_code == 202
    assert shown() == [(1, None)] * 3
    assert shown(as_of=then) == [(2, 9)] * 3


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
