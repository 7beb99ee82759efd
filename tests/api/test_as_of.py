"""`as_of` on every query: what was said then is said again; a moment there is not is refused."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import Role
from domain.values.time import to_text
from infra.moments import at_time
from processors.projector import connect
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World

WITHOUT = {
    "/events": "it is the log itself: `after` and `limit` name any part of it",
    "/jobs/{job}/logs": "output is bytes: `offset` names any part of it, and it is no fact",
    "/health": "about the process that answers",
    "/views": "about the read models that answer",
    "/audit/head": "about the newest signed head",
    "/audit/export": "it is the log itself, whole or a part by position",
    "/audit/proof/{position}": "a proof of one position against a signed head",
    "/metrics": "about the processes that run now",
    "/quarantine": "about what consumers hold back now",
    "/whoami": "about the token that is shown now",
}
"""The GET routes without `as_of`, and why."""


def queries(world: World) -> dict[str, list[str]]:
    """Every GET route below the prefix, with the names of its query parameters."""
    found = {}
    for path, operations in world.app.openapi()["paths"].items():
        if "get" in operations:
            parameters = operations["get"].get("parameters", [])
            named = [p["name"] for p in parameters if p["in"] == "query"]
            found[path.removeprefix("/api/v1")] = named
    return found


def test_every_query_takes_as_of_or_says_here_why_not(world: World) -> None:
    found = queries(world)
    assert {path for path, names in found.items() if "as_of" not in names} == set(WITHOUT)
    assert all("min_position" in names for path, names in found.items() if path not in WITHOUT)


class Past:
    """What every query answered at some moments."""

    def __init__(self, world: World, project: str, node: str) -> None:
        self.world, self.project, self.node = world, project, node
        self.job = "job-of-nobody"
        self.said: list[tuple[int, str, dict[str, Any]]] = []

    def ask(self, until: str, **query: Any) -> dict[str, Any]:
        """All answers; usage and cost up to the time at which they were asked first."""
        names = {"job": self.job, "node": self.node, "project": self.project}
        names["reservation"] = "demo"
        known = (path for path in queries(self.world) if path not in WITHOUT)
        found = {}
        for path in known:
            up_to = {"until": until} if path in ("/usage", "/cost") else {}
            answer = self.world.admin.get(path.format(**names), **query, **up_to)
            found[path] = (answer.status_code, _comparable(path, answer.json()))
        return found

    def note(self) -> None:
        """Keep what is said now."""
        position, at = self.world.caught_up(), to_text(self.world.store.now())
        self.said.append((position, at, self.ask(at)))


def _comparable(path: str, body: Any) -> Any:
    """Without what is about the request, and without the cost of a job up to now."""
    if path == "/jobs/{job}/cost":
        return body.get("currency")
    return {k: v for k, v in body.items() if k not in ("request_id", "instance")} if body else body


def test_what_was_said_is_said_again(world: World) -> None:
    """At each step every query is asked; at the end each is asked again as of that step."""
    project = world.project()
    node = Node(world)
    node.register()
    past = Past(world, project, node.name)
    past.job = world.submit(project, priority=5)
    other = world.submit(project, name="other", resources={"cpu": 4000})
    past.note()
    prices = {"currency": "EUR", "cpu_micro": 10**12, "memory_gib_micro": 1, "gpu_micro": 5}
    assert world.admin.send("PUT", "/policy/prices", prices).status_code == 202
    assert world.admin.send("PUT", f"/projects/{project}/quota", {"gpu": 3}).status_code == 202
    reservation = {
        "name": "demo",
        "start": to_text(world.store.now()),
        "duration_seconds": 10**6,
        "nodes": [node.name],
        "projects": [project],
    }
    assert world.admin.post("/reservations", reservation).status_code == 202
    past.note()
    world.schedule()
    past.note()
    assert world.admin.send("DELETE", "/reservations/demo").status_code == 202
    assert world.admin.post(f"/nodes/{node.name}/cordon", {"reason": "fan"}).status_code == 202
    assert world.admin.post(f"/jobs/{other}/cancel", {}).status_code == 202
    past.note()
    assert world.admin.post(f"/jobs/{past.job}/cancel", {}).status_code == 202
    past.note()

    assert len({repr(said) for *_, said in past.said}) == len(past.said), "each step shows"
    assert past.said[2][2]["/cost"][1]["total_micro"] > 0
    of_a_time = ("/usage", "/cost")  # at its own position an allocation has not lasted yet
    for position, at, said in past.said:
        assert past.ask(at, as_of=at) == said
        again = past.ask(at, as_of=position)
        assert {k: v for k, v in again.items() if k not in of_a_time} == {
            k: v for k, v in said.items() if k not in of_a_time
        }


def test_an_answer_says_which_moment_it_stands_for(world: World) -> None:
    project = world.project()
    position = world.caught_up()
    world.submit(project)
    answer = world.admin.get("/queue", as_of=position)
    assert answer.headers["Log-Position"] == str(position)
    at = answer.headers["As-Of"]
    with connect(world.dsn) as connection:
        store_time = connection.execute(
            "SELECT recorded_at FROM stored_events WHERE notification_id <= %s"
            " ORDER BY notification_id DESC LIMIT 1",
            (position,),
        ).fetchone()
        assert store_time is not None
        assert at_time(connection, store_time["recorded_at"]).position == position
    assert world.admin.get("/queue", as_of=at).headers["Log-Position"] == str(position)
    assert "As-Of" not in world.admin.get("/queue").headers


def test_how_long_ago_is_by_the_clock_of_the_store(world: World) -> None:
    world.submit(world.project())
    head = world.caught_up()
    assert int(world.admin.get("/jobs", as_of="-0s").headers["Log-Position"]) >= head
    before = world.admin.get("/jobs", as_of="-365d")
    assert before.headers["Log-Position"] == "0"
    assert before.json()["items"] == []


def test_position_0_is_before_everything(world: World) -> None:
    world.submit(world.project())
    assert world.admin.get("/projects", as_of=0).json()["items"] == []
    assert world.admin.get("/policy/prices", as_of=0).json() is None
    assert world.admin.get("/usage", as_of=0).json()["items"] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("99999999999", "beyond_the_log"),
        ("9" * 40, "beyond_the_log"),
        ("-5", "bad_as_of"),
        ("-5w", "bad_as_of"),
        ("+5", "bad_as_of"),
        ("1.5", "bad_as_of"),
        ("yesterday", "bad_as_of"),
        ("", "bad_as_of"),
        ("٣", "bad_as_of"),
        ("2026-13-01T00:00:00Z", "bad_as_of"),
        ("2026-11-24T08:00:00 02:00", "bad_as_of"),
        ("2026-11-24T08:00:00", "no_time_zone"),
        ("2026-11-24", "no_time_zone"),
        ("9999-01-01T00:00:00Z", "in_the_future"),
        ("1969-01-01T00:00:00Z", "out_of_range"),
        ("-999999999d", "out_of_range"),
        ("0001-01-01T00:00:00+23:59", "out_of_range"),
    ],
)
def test_a_moment_there_is_not_is_refused(world: World, text: str, code: str) -> None:
    found = check_problem(world.admin.get("/queue", as_of=text), 422)
    assert found["code"] == code
    assert found["errors"][0]["field"] == "as_of"


def test_a_moment_given_twice_or_to_a_command_is_refused(world: World) -> None:
    assert check_problem(world.admin.get("/queue?as_of=1&as_of=2"), 422)["field"] == "as_of"
    answer = world.admin.post(f"/jobs/{world.submit(world.project())}/cancel?as_of=1", {})
    assert check_problem(answer, 422)["code"] == "unknown_parameter"


def test_a_moment_waits_for_the_read_models_as_min_position_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cell.CATCH_UP_SECONDS", 0.05)
    project = world.project()
    with world.projector_paused():
        body = {"name": "late", "project_id": project, "command": ["true"]}
        position = world.admin.post("/jobs", body).json()["position"]
        answer = world.admin.get("/jobs", as_of=position)
        assert check_problem(answer, 503)["code"] == "not_caught_up"
        early = world.admin.get("/jobs", as_of=1, min_position=position)
        assert check_problem(early, 503)["code"] == "not_caught_up"
        assert world.admin.get("/jobs", as_of=1).status_code == 200
    shown = world.admin.get("/jobs", as_of=position, project_id=project).json()["items"]
    assert [job["name"] for job in shown] == ["late"]
    both = world.admin.get("/jobs", as_of=1, min_position=position)
    assert both.headers["Log-Position"] == "1", "min_position makes no difference to the moment"


def test_the_pages_of_a_list_are_of_one_moment(world: World) -> None:
    project = world.project()
    jobs = [world.submit(project) for _ in range(5)]
    position = world.caught_up()
    first = world.admin.get("/jobs", project_id=project, limit=2, as_of=position).json()
    world.submit(project)
    rest = world.admin.get(
        "/jobs", project_id=project, cursor=first["next_cursor"], as_of=position
    ).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == jobs[::-1]
    assert {job["phase"] for job in first["items"] + rest["items"]} == {"queued"}


def test_who_may_see_it_now_may_see_it_then_and_nobody_else(world: World) -> None:
    """Roles are those of today: a token that is no longer allowed does not look into the past."""
    project = world.project()
    job = world.submit(project)
    position = world.caught_up()
    outsider = world.person("outsider", projects={world.project(): Role.VIEWER})
    check_problem(outsider.get(f"/jobs/{job}", as_of=position), 404)
    assert outsider.get("/jobs", as_of=position).json()["items"] == []
