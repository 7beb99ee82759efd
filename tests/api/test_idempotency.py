"""A command sent twice happens once; rivals never lose an update."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from domain.access import Role
from domain.job import events as e
from domain.job.transitions import ENDED
from domain.values.ids import JobId
from infra.store import stream_of
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import Person, World

RIVALS = 8


def job_body(project: str, **fields: Any) -> dict[str, Any]:
    return {"name": "job", "project_id": project, "command": ["true"], **fields}


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """The answers to calls that start at the same moment."""
    barrier = threading.Barrier(len(calls))

    def go(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def jobs_of(world: World, project: str) -> list[str]:
    world.caught_up()
    return [job["id"] for job in world.admin.get("/jobs", project_id=project).json()["items"]]


def test_the_same_submission_twice_is_one_job_and_one_answer(world: World) -> None:
    project = world.project()
    first = world.admin.post("/jobs", job_body(project), key="once")
    second = world.admin.post("/jobs", job_body(project), key="once")
    assert "idempotent-replay" not in first.headers
    assert second.headers["idempotent-replay"] == "true"
    for answer in (first, second):
        assert answer.status_code == 201
    assert first.content == second.content
    assert first.headers["log-position"] == second.headers["log-position"]
    assert jobs_of(world, project) == [first.json()["id"]]


def test_another_request_with_the_key_is_refused(world: World) -> None:
    project = world.project()
    first = world.admin.post("/jobs", job_body(project), key="other")
    head = world.store.head()
    answers = [
        world.admin.post("/jobs", job_body(project, priority=3), key="other"),
        world.admin.post("/jobs:batch", {"jobs": [job_body(project)]}, key="other"),
        world.admin.post(f"/jobs/{first.json()['id']}/cancel", key="other"),
    ]
    for answer in answers:
        problem = check_problem(answer, 422, "key_reused")
        assert problem["errors"][0]["field"] == "idempotency-key"
    assert world.store.head() == head


def test_a_key_belongs_to_its_principal(world: World) -> None:
    project = world.project()
    ada = world.person("ada", projects={project: Role.SUBMITTER})
    bob = world.person("bob", projects={project: Role.SUBMITTER})
    answers = [who.post("/jobs", job_body(project), key="shared") for who in (ada, bob)]
    assert [a.status_code for a in answers] == [201, 201]
    assert len({a.json()["id"] for a in answers}) == 2
    again = world.person("ada", projects={project: Role.SUBMITTER})  # with another token
    assert again.post("/jobs", job_body(project), key="shared").content == answers[0].content


def test_a_key_does_not_open_what_was_closed_since(world: World) -> None:
    project = world.project()
    token, secret = world.issue("eve", projects={project: Role.SUBMITTER})
    assert world.bearer(secret).post("/jobs", job_body(project), key="k").status_code == 201
    world.admin.send("DELETE", f"/tokens/{token}")
    stripped = world.person("eve", projects={world.project(): Role.SUBMITTER})
    check_problem(stripped.post("/jobs", job_body(project), key="k"), 404, "no_such_project")


def test_a_refused_command_is_not_remembered(world: World) -> None:
    body = job_body("made-later")
    check_problem(world.admin.post("/jobs", body, key="early"), 404)
    world.project("made-later")
    assert world.admin.post("/jobs", body, key="early").status_code == 201


@pytest.mark.parametrize("key", ["x" * 129, "caf\u00e9", "tab\tbed"])
def test_a_malformed_key_is_refused(world: World, key: str) -> None:
    project = world.project()
    head = world.store.head()
    answer = world.admin.http.post(
        "/jobs", json=job_body(project), headers={b"Idempotency-Key": key.encode()}
    )
    problem = check_problem(answer, 422)
    assert problem["errors"][0]["field"] == "idempotency-key"
    assert world.store.head() == head


@pytest.mark.parametrize("number", range(4))
def test_rivals_with_one_key_make_one_job(world: World, number: int) -> None:
    project, key = world.project(), f"race-{number}"
    answers = at_once(
        [lambda: world.admin.post("/jobs", job_body(project), key=key) for _ in range(RIVALS)]
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert jobs_of(world, project) == [answers[0].json()["id"]]
    assert Counter(a.headers.get("idempotent-replay") for a in answers)[None] == 1


def test_rivals_with_one_key_and_different_bodies_make_one_job(world: World) -> None:
    project = world.project()
    answers = at_once(
        [
            lambda n=n: world.admin.post("/jobs", job_body(project, priority=n), key="mixed")  # type: ignore[misc]
            for n in range(RIVALS)
        ]
    )
    assert Counter(a.status_code for a in answers) == {201: 1, 422: RIVALS - 1}
    assert len(jobs_of(world, project)) == 1


def test_every_command_with_a_key_happens_once(world: World) -> None:
    """Whatever the document says takes a key is sent twice; the log grows at the first alone."""
    project = world.project()
    node = Node(world)
    assert node.register().status_code == 200
    running = node.run(project)
    calls: dict[str, tuple[str, Any]] = {
        "POST /jobs": ("/jobs", job_body(project)),
        "POST /jobs:batch": ("/jobs:batch", {"jobs": [job_body(project)] * 3}),
        "PATCH /jobs/{job}": ("/jobs/{job}", {"priority": 9}),
        "POST /jobs/{job}/suspend": ("/jobs/{job}/suspend", None),
        "POST /jobs/{job}/resume": ("/jobs/{job}/resume", None),
        "POST /jobs/{job}/cancel": ("/jobs/{job}/cancel", None),
        "POST /jobs/{job}/requeue": ("/jobs/{job}/requeue", None),
        "POST /jobs/{job}/migrate": (f"/jobs/{running['job']}/migrate", {"to": None}),
        "DELETE /jobs/{job}/migrate": (f"/jobs/{running['job']}/migrate", None),
        "POST /nodes/{node}/cordon": (f"/nodes/{node.name}/cordon", {"reason": "x"}),
        "POST /nodes/{node}/uncordon": (f"/nodes/{node.name}/uncordon", None),
        "POST /nodes/{node}/drain": (f"/nodes/{node.name}/drain", {"reason": "x"}),
        "POST /projects": ("/projects", {"id": "made-once"}),
        "PUT /projects/{project}/members/{principal}": (
            f"/projects/{project}/members/ada",
            {"role": "viewer"},
        ),
        "DELETE /projects/{project}/members/{principal}": (
            f"/projects/{project}/members/ada",
            None,
        ),
        "PUT /projects/{project}/quota": (f"/projects/{project}/quota", {"gpu": 3}),
        "PUT /policy": ("/policy", {"scheduler": {"scheduling_interval": 7}}),
        "PUT /projects/{project}/inheritance": (
            f"/projects/{project}/inheritance",
            {"max_priority": 7},
        ),
        "PUT /projects/{project}/budgets": (
            f"/projects/{project}/budgets",
            {"budgets": [{"per": "month", "gpu_hours": 3}]},
        ),
        "PUT /policy/scheduler": ("/policy/scheduler", {"enable_preemption": False}),
        "PUT /policy/cohorts": ("/policy/cohorts", {"cohorts": [{"name": "lab"}]}),
        "PUT /policy/prices": (
            "/policy/prices",
            {"currency": "EUR", "cpu_micro": 1, "memory_gib_micro": 1, "gpu_micro": 1},
        ),
        "POST /reservations": (
            "/reservations",
            {
                "name": "once",
                "start": "2199-01-01T00:00:00Z",
                "duration_seconds": 60,
                "nodes": [node.name],
                "maintenance": True,
            },
        ),
        "DELETE /reservations/{reservation}": ("/reservations/once", None),
        "POST /quarantine/discard": (
            "/quarantine/discard",
            {"stream": "job/sick", "position": 1, "reason": "x"},
        ),
        "DELETE /tokens/{token}": (f"/tokens/{world.issue('gone', Role.VIEWER)[0]}", None),
    }
    assert calls.keys() == keyed(world) - {"POST /tokens"}, "a token is shown once: it has none"
    world.connection.execute(
        "INSERT INTO quarantine (consumer, stream, position, version, name, error)"
        " VALUES ('scheduler', 'job/sick', 1, 1, 'x', 'y')"
    )
    job = world.submit(project)
    for number, (route, (path, body)) in enumerate(calls.items()):
        method, path = route.split()[0], path.format(job=job)
        before = world.store.head()
        first = world.admin.send(method, path, body, key=f"each-{number}")
        assert first.status_code < 300, f"{route}: {first.text}"
        after = world.store.head()
        second = world.admin.send(method, path, body, key=f"each-{number}")
        assert second.content == first.content, route
        assert second.headers["idempotent-replay"] == "true", route
        assert before < after == world.store.head(), route


def keyed(world: World) -> set[str]:
    """The operations of the document that take an Idempotency-Key."""
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, operations in world.app.openapi()["paths"].items()
        for method, operation in operations.items()
        if any(p["name"].lower() == "idempotency-key" for p in operation.get("parameters", []))
    }


def test_no_priority_is_lost_when_many_change_it_at_once(world: World) -> None:
    job = world.submit(world.project())
    path = f"/jobs/{job}"
    answers = at_once(
        [
            lambda p=p: world.admin.send("PATCH", path, {"priority": p})  # type: ignore[misc]
            for p in range(1, RIVALS + 1)
        ]
    )
    assert {a.status_code for a in answers} <= {202, 409}
    accepted = sum(a.status_code == 202 for a in answers)
    changes = [
        r.event
        for r in world.store.stream(stream_of("job", JobId(job)))
        if isinstance(r.event, e.PriorityChanged)
    ]
    assert len(changes) == accepted >= 1
    assert [c.previous for c in changes] == [0, *(c.priority for c in changes[:-1])]
    world.caught_up()
    assert world.admin.get(path).json()["priority"] == changes[-1].priority


@pytest.mark.parametrize("number", range(4))
def test_contrary_commands_at_once_leave_one_true_history(world: World, number: int) -> None:
    node = Node(world)
    node.register()
    order = node.run(world.project(), priority=100)
    job = order["job"]
    commands = ["cancel", "suspend", "resume", "requeue"] * 2
    answers = at_once(
        [lambda c=c: world.admin.post(f"/jobs/{job}/{c}") for c in commands]  # type: ignore[misc]
    )
    assert {a.status_code for a in answers} <= {202, 409}
    for answer in answers:
        if answer.status_code == 409:
            check_problem(answer, 409)
    node.say(node.ended(order))
    state = world.job(job)  # folds without a contradiction
    shown = world.admin.get(f"/jobs/{job}").json()["phase"]
    assert shown == state.phase
    assert state.phase in ENDED | {"suspended", "queued", "held"}


def test_rivals_create_a_project_once(world: World) -> None:
    people: list[Person] = [world.person(f"admin-{n}", Role.ADMIN) for n in range(4)]
    answers = at_once(
        [lambda p=p: p.post("/projects", {"id": "contested"}) for p in people]  # type: ignore[misc]
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
