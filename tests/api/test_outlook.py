"""Dry runs and outlooks over HTTP: the real plan, nothing recorded, nothing strange named."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import Role
from domain.values.time import SECOND, to_text
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import Person, World


def dry(who: Person, project: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "job", "project_id": project, "command": ["true"], **fields}
    answer = who.post("/jobs:dry-run", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_dry_run_says_what_the_submission_then_does(world: World) -> None:
    project, node = world.project(), Node(world)
    node.register()
    world.caught_up()
    wish = {"resources": {"gpu": 2, "gpu_type": node.model}}
    head = world.store.head()
    found = dry(world.admin, project, **wish)
    assert world.store.head() == head
    assert (found["forecast"], found["nodes"]) == ("starts_now", [node.name])
    job = world.submit(project, **wish)
    world.schedule()
    assert {seat.node for seat in world.job(job).seats} == {node.name}

    found = dry(world.admin, project, **wish)
    assert found["forecast"] == "would_wait"
    assert found["reason"]["code"] == "insufficient_gpu"
    assert found["complete"] is True
    waiting = world.submit(project, **wish)
    world.schedule()
    assert world.admin.get(f"/jobs/{waiting}").json()["reason"] == found["reason"]

    found = dry(world.admin, project, resources={"gpu": 3, "gpu_type": node.model})
    assert (found["forecast"], found["field"]) == ("can_never_run", "resources.gpu")
    assert "at most 2" in found["fix"]
    soon = to_text(world.store.now() + 5 * SECOND)
    found = dry(world.admin, project, deadline=soon, estimate_seconds=600)
    assert (found["forecast"], found["field"]) == ("can_never_run", "deadline")


def test_an_outlook_names_what_would_start_the_job(world: World) -> None:
    project, other, node = world.project(), world.project(), Node(world)
    node.register()
    gpu = {"gpu": 1, "gpu_type": node.model}
    limits = {"estimate_seconds": 600, "time_limit_seconds": 3600}
    runs = world.submit(project, resources=gpu, **limits)
    world.schedule()
    ahead = world.submit(other, name="strange", priority=9, resources={**gpu, "gpu": 2}, **limits)
    job = world.submit(project, resources={**gpu, "gpu": 2}, **limits)
    world.schedule()
    member = world.person("vera", projects={project: Role.VIEWER})
    head = world.store.head()
    found = member.post(f"/jobs/{job}/outlook").json()
    assert found["ahead_total"] >= 1
    assert "strange" not in str(found)
    assert found["earliest_start"] < found["latest_start"]
    shown = world.admin.post(f"/jobs/{job}/outlook").json()["ahead"]
    assert ahead in [each["id"] for each in shown]
    assert world.admin.post(f"/jobs/{ahead}/cancel", {}).status_code == 202
    found = member.post(f"/jobs/{job}/outlook").json()
    told = {change["kind"]: change for change in found["changes"]}
    assert told["fewer_gpus"]["to"] == {"gpu_milli": 1000}
    assert told["fewer_gpus"]["text"] == "ask for 1 GPU a seat"
    check_problem(member.post(f"/jobs/{runs}/outlook"), 409, "not_waiting")
    assert world.store.head() == head + 1, "the cancel alone"


def test_what_was_foreseen_is_foreseen_again_as_of_then(world: World) -> None:
    project, node = world.project(), Node(world)
    node.register()
    gpu = {"gpu": 1, "gpu_type": node.model}
    limits = {"estimate_seconds": 600, "time_limit_seconds": 3600}
    runs = world.submit(project, resources={**gpu, "gpu": 2}, **limits)
    world.schedule()
    job = world.submit(project, resources=gpu, **limits)
    world.schedule()
    wish = {"resources": gpu, **limits}
    then, dry_then = (
        world.admin.post(f"/jobs/{job}/outlook").json(),
        dry(world.admin, project, **wish),
    )
    at, position = then["at"], then["position"]
    assert (then["forecast"], dry_then["forecast"]) == ("would_wait", "would_wait")

    assert world.admin.post(f"/jobs/{runs}/cancel", {}).status_code == 202
    assert world.admin.post(f"/jobs/{job}/cancel", {}).status_code == 202
    late = world.submit(project, priority=9, resources={**gpu, "gpu": 2}, **limits)
    world.caught_up()
    now = dry(world.admin, project, **wish)
    assert now["ahead"] != dry_then["ahead"]
    check_problem(world.admin.post(f"/jobs/{job}/outlook"), 409, "not_waiting")

    again = world.admin.post(f"/jobs/{job}/outlook?as_of={at}")
    assert again.json() == then
    assert (again.headers["As-Of"], again.headers["Log-Position"]) == (at, str(position))
    body = {"name": "job", "project_id": project, "command": ["true"], **wish}
    path = f"/jobs:dry-run?as_of={dry_then['at']}"
    assert world.admin.post(path, body).json() == dry_then
    by_position = world.admin.post(f"/jobs/{job}/outlook?as_of={position}").json()
    assert by_position["at"] <= at
    same = ("forecast", "reason", "queue_position", "queued", "changes", "position")
    assert {name: by_position[name] for name in same} == {name: then[name] for name in same}

    check_problem(world.admin.post(f"/jobs/{late}/outlook?as_of={at}"), 404, "no_such_job")
    check_problem(world.admin.post(f"/jobs/{job}/outlook?as_of=never"), 422, "bad_as_of")
    check_problem(world.admin.post("/jobs:dry-run?as_of=1", body), 404, "no_such_project")
    ahead = f"/jobs/{job}/outlook?as_of={world.store.head() + 9}"
    check_problem(world.admin.post(ahead), 422, "beyond_the_log")


@pytest.mark.parametrize(
    ("fields", "field"), [({"priority": -1}, "priority"), ({"comand": []}, "comand")]
)
def test_a_bad_dry_run_is_refused_by_field(
    world: World, fields: dict[str, Any], field: str
) -> None:
    body = {"name": "job", "project_id": world.project(), "command": ["true"], **fields}
    found = check_problem(world.admin.post("/jobs:dry-run", body), 422)
    assert field in [error["field"] for error in found["errors"]]


def test_the_reasons_of_the_queue_add_up_to_the_jobs_that_wait(world: World) -> None:
    project = world.project()
    for number in range(5):
        world.submit(
            project,
            name=f"job-{number}",
            resources={"cpu": 1000 * (number + 1)},
            accept_when_absent=True,
        )
    world.submit(project, resources={"gpu": 1, "gpu_type": "T9000"}, accept_when_absent=True)
    for scheduled in (False, True):
        if scheduled:
            world.schedule()
        queue = world.admin.get("/queue", limit=10_000).json()
        waiting = world.admin.get("/jobs", phase="queued", limit=1000).json()["items"]
        assert sum(queue["by_reason"].values()) == queue["total"] == len(waiting) >= 6
        codes = [job["reason"]["code"] if job["reason"] else "not_examined" for job in waiting]
        assert {code: codes.count(code) for code in codes} == queue["by_reason"]
