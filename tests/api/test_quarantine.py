"""Quarantine over HTTP: listed, tried again, discarded with a trace in the log."""

from __future__ import annotations

from contextlib import closing

import pytest

from domain.consumer.events import EventDiscarded
from infra.follow import Bell, PostgresStream
from processors.projector import connect
from processors.rebuilder import Rebuilder
from tests.api.conftest import MakeWorld
from tests.api.problem import check_problem
from tests.api.world import World
from tests.processors.test_projector import POISON


@pytest.fixture
def sick(new_world: MakeWorld) -> tuple[World, str, int]:
    """A cell that cannot read a job's submission; the job's stream and the position."""
    world = new_world()
    project = world.project()
    with world.projector_paused():
        body = {"name": "j", "project_id": project, "command": ["true"]}
        answer = world.admin.post("/jobs", body).json()
        rename(world, answer["id"], POISON)
    world.caught_up()
    return world, f"job/{answer['id']}", answer["position"]


def rename(world: World, job: str, name: str) -> None:
    """Let the first event of a job bear another name."""
    world.connection.execute(
        "UPDATE stored_events SET topic = %s WHERE originator_id = %s AND originator_version = 1",
        (name, f"job/{job}"),
    )


def rebuild_all(world: World) -> None:
    """Carry out what was asked for."""
    with (
        closing(PostgresStream(world.store, Bell(world.dsn))) as stream,
        closing(connect(world.dsn)) as connection,
    ):
        builder = Rebuilder(connection, stream)
        while builder.step():
            pass


def test_it_is_listed_told_and_taken_up_again(sick: tuple[World, str, int]) -> None:
    world, stream, position = sick
    items = world.admin.get("/quarantine").json()["items"]
    found = {item["consumer"]: item for item in items}
    first = found["jobs"]
    assert (first["stream"], first["event"], first["stops"]) == (stream, POISON, False)
    assert first["position"] <= position
    assert first["held"] == 2, "submitted and queued"
    assert "never_heard_of" in first["error"]
    views = {view["view"]: view for view in world.admin.get("/views").json()["items"]}
    assert views["jobs"]["quarantined"] == 1
    assert views["jobs"]["lag"] == 0
    assert world.admin.get("/health").json() == {"status": "ok", "quarantined": len(items)}
    job = stream.partition("/")[2]
    check_problem(world.admin.get(f"/jobs/{job}"), 404)

    rename(world, job, "job.submitted.v1")
    answer = world.admin.post("/quarantine/retry", {})
    assert answer.status_code == 202
    assert answer.json()["consumers"] == sorted(found)
    rebuild_all(world)
    assert world.admin.get("/quarantine").json() == {"items": []}
    assert world.admin.get(f"/jobs/{job}").json()["phase"] == "queued"


def test_a_discard_is_recorded_with_who_and_why_and_holds(sick: tuple[World, str, int]) -> None:
    world, stream, _ = sick
    head = world.store.head()
    found = world.admin.get("/quarantine").json()["items"]
    wish = {"stream": stream, "position": found[0]["position"], "reason": "written by a bad build"}
    first = world.admin.post("/quarantine/discard", {**wish, "consumer": "tokens"}, key="once")
    again = world.admin.post("/quarantine/discard", {**wish, "consumer": "tokens"}, key="once")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replay"] == "true"
    [recorded] = [r for r in world.store.read(head) if r.stream == "consumer/tokens"]
    assert isinstance(recorded.event, EventDiscarded)
    assert recorded.meta.actor == "admin"
    assert (recorded.event.stream, recorded.event.position) == (stream, wish["position"])
    assert (recorded.event.event, recorded.event.reason) == (POISON, wish["reason"])
    rebuild_all(world)
    left = {item["consumer"] for item in world.admin.get("/quarantine").json()["items"]}
    assert left == {item["consumer"] for item in found} - {"tokens"}
    rest = world.admin.post("/quarantine/discard", wish)
    assert set(rest.json()["consumers"]) == left


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"position": 9_999}, 404, "not_quarantined"),
        ({"stream": "job/other"}, 404, "not_quarantined"),
        ({"consumer": "jobz"}, 404, "not_quarantined"),
        ({"reason": " "}, 422, "no_reason"),
        ({"reason": ""}, 422, "invalid_request"),
        ({"position": 0}, 422, "invalid_request"),
        ({"why": "x"}, 422, "invalid_request"),
    ],
)
def test_a_wrong_discard_is_refused_and_nothing_recorded(
    sick: tuple[World, str, int], change: dict[str, object], status: int, code: str
) -> None:
    world, stream, _ = sick
    position = world.admin.get("/quarantine").json()["items"][0]["position"]
    head = world.store.head()
    wish = {"stream": stream, "position": position, "reason": "x", **change}
    problem = check_problem(world.admin.post("/quarantine/discard", wish), status, code)
    if code == "not_quarantined" and "consumer" in change:
        assert "jobs" in problem["detail"]
    assert world.store.head() == head


def test_timers_mend_themselves(sick: tuple[World, str, int]) -> None:
    world, stream, position = sick
    world.connection.execute(
        "INSERT INTO quarantine (consumer, stream, position, version, name, error)"
        " VALUES ('timers', %s, %s, 1, 'x', 'y')",
        (stream, position),
    )
    wish = {"stream": stream, "position": position, "reason": "x", "consumer": "timers"}
    check_problem(world.admin.post("/quarantine/discard", wish), 409, "not_discardable")


def test_a_command_on_a_stream_that_cannot_be_read_says_so(sick: tuple[World, str, int]) -> None:
    world, _, _ = sick
    head = world.store.head()
    world.connection.execute(
        "UPDATE stored_events SET topic = %s WHERE originator_id LIKE 'project/%%'", (POISON,)
    )
    name = world.connection.execute(
        "SELECT originator_id AS id FROM stored_events WHERE originator_id LIKE 'project/%%'"
    ).fetchone()
    assert name is not None
    project = name["id"].partition("/")[2]
    answer = world.admin.send("PUT", f"/projects/{project}/quota", {"gpu": 1})
    problem = check_problem(answer, 503, "unreadable_event")
    assert f"project/{project}" in problem["detail"]
    assert "retry-after" in answer.headers
    assert world.store.head() == head
