"""Bad input is refused with the path of the field and what to do; nothing is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.problem import check_problem
from tests.api.world import World

GOOD: dict[str, Any] = {"name": "job", "project_id": "bad-input", "command": ["true"]}


@pytest.fixture(scope="module", autouse=True)
def _project(world: World) -> None:
    world.project("bad-input")


@pytest.fixture(autouse=True)
def _nothing_is_recorded(world: World) -> Iterator[None]:
    head = world.store.head()
    yield
    assert world.store.head() == head


def fields(**resources: Any) -> dict[str, Any]:
    return {"resources": resources}


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    # changed fields, the path the answer names, a part of what it says
    ({"name": ""}, "name", "at least 1 character"),
    ({"name": "n" * 64}, "name", "at most 63 characters"),
    ({"name": "Not A Name"}, "name", "use 1 to 63 characters"),
    ({"name": 7}, "name", "valid string"),
    ({"name": None}, "name", "valid string"),
    ({"project_id": "../etc"}, "project_id", "use 1 to 63 characters"),
    ({"command": "python train.py"}, "command", "valid list"),
    ({"command": []}, "command", "at least 1 item"),
    ({"command": [""]}, "command", "at least one word"),
    ({"command": ["true", 3]}, "command.1", "valid string"),
    ({"command": ["x" * 32_769]}, "command.0", "at most 32768 characters"),
    ({"command": ["x"] * 4097}, "command", "at most 4096 items"),
    ({"command": ["x" * 32_000] * 5}, "command", "at most 128 KiB"),
    ({"docker_image": ""}, "docker_image", "at least 1 character"),
    ({"docker_image": "x" * 513}, "docker_image", "at most 512 characters"),
    ({"priority": -1}, "priority", "greater than or equal to 0"),
    ({"priority": 1001}, "priority", "less than or equal to 1000"),
    ({"priority": 1.5}, "priority", "valid integer"),
    ({"priority": "7"}, "priority", "valid integer"),
    ({"priority": True}, "priority", "valid integer"),
    ({"priority": 10**30}, "priority", "less than or equal to 1000"),
    ({"replicas": 0}, "replicas", "greater than or equal to 1"),
    ({"replicas": 4097}, "replicas", "less than or equal to 4096"),
    ({"hold": "yes"}, "hold", "valid boolean"),
    ({"hold": 1}, "hold", "valid boolean"),
    ({"time_limit_seconds": 0}, "time_limit_seconds", "greater than or equal to 1"),
    ({"grace_seconds": -5}, "grace_seconds", "greater than or equal to 0"),
    ({"env": {"A B": "x"}}, "env.A B", "letters, digits and _"),
    ({"env": {"A": "x" * 32_769}}, "env.A", "at most 32768 characters"),
    ({"env": {"A": 1}}, "env.A", "valid string"),
    ({"env": {f"V{n}": "" for n in range(257)}}, "env", "at most 256"),
    ({"env": ["A=1"]}, "env", "valid dictionary"),
    ({"labels": {"team": "x" * 257}}, "labels.team", "at most 256 characters"),
    ({"labels": {f"l{n}": "" for n in range(65)}}, "labels", "at most 64"),
    ({"retry": {"max_retries": 101}}, "retry.max_retries", "less than or equal to 100"),
    ({"retry": 3}, "retry", "an object"),
    (
        {"checkpointing": {"checkpoint_interval_seconds": 0}},
        "checkpointing.checkpoint_interval_seconds",
        "greater than or equal to 1",
    ),
    (fields(cpu=-1), "resources.cpu", "greater than or equal to 0"),
    (fields(cpu="-1"), "resources.cpu", "write a number or a quantity"),
    (fields(cpu="lots"), "resources.cpu", "write a number or a quantity"),
    (fields(cpu="8 "), "resources.cpu", "write a number or a quantity"),
    (fields(cpu="9" * 41), "resources.cpu", "at most 40 characters"),
    (fields(cpu=True), "resources.cpu", "valid number"),
    (fields(cpu=[8]), "resources.cpu", "valid number"),
    (fields(cpu=10**30), "resources.cpu", "less than or equal to"),
    (fields(cpu="1e30"), "resources.cpu", "the largest value is"),
    (fields(cpu=2**63 - 1), "resources.cpu", "the largest value is"),
    (fields(cpu=float("nan")), "resources.cpu", "NaN"),
    (fields(cpu=float("inf")), "resources.cpu", "Infinity"),
    (fields(memory_gb=float("-inf")), "resources.memory_gb", "Infinity"),
    (fields(memory_gb=-0.5), "resources.memory_gb", "greater than or equal to 0"),
    (fields(memory_gb="32"), "resources.memory_gb", "valid number"),
    (fields(memory_gb=True), "resources.memory_gb", "valid number"),
    (fields(memory_gb=1e300), "resources.memory_gb", "less than or equal to"),
    (fields(memory_gb=10**18), "resources.memory_gb", "the largest value is"),
    (fields(memory="32 GB"), "resources.memory", "write a number or a quantity"),
    (fields(memory="1Gi", memory_gb=1), "resources.memory", "not both"),
    ({"deadline": 1_800_000_000}, "deadline", "write a time such as"),
    ({"deadline": "tomorrow"}, "deadline", "write a time such as"),
    ({"deadline": "2027-01-01T00:00:00"}, "deadline", "add a time zone"),
    (fields(gpu=-1), "resources.gpu", "greater than or equal to 0"),
    (fields(gpu=1.5), "resources.gpu", "a share of one such as 0.25"),
    (fields(gpu=10**30), "resources.gpu", "less than or equal to 1024"),
    (fields(gpu=1, gpu_type=""), "resources.gpu_type", "at least 1 character"),
    (fields(gpu=1, gpu_type=[]), "resources.gpu_type", "at least 1 item"),
    (fields(gpu=1, gpu_type=["A100", 7]), "resources.gpu_type.1", "valid string"),
    (fields(gpu=1, gpu_type=7), "resources.gpu_type", "valid list"),
    (fields(gpu_type="A100"), "resources.gpu_type", "ask for at least one gpu"),
    (fields(memory=2**62), "resources.memory_bytes", "must be 0 to"),
]
UNKNOWN: list[tuple[dict[str, Any], str, str | None]] = [
    # an unknown field, its path, the nearest name there is
    ({"comand": ["true"]}, "comand", "command"),
    ({"xyzzy": True}, "xyzzy", None),
    ({"image": "x"}, "image", "docker_image"),
    (fields(gpus=2), "resources.gpus", "gpu"),
    (fields(gpu_typ="A100"), "resources.gpu_typ", "gpu_type"),
    ({"checkpointing": {"enable": True}}, "checkpointing.enable", "enable_checkpointing"),
    ({"retry": {"retries": 1}}, "retry.retries", "max_retries"),
]
NOT_JSON: list[tuple[bytes, str, str]] = [
    # a body, the path, a part of what the answer says
    (b"{", "body", "not JSON at character 1"),
    (b'{"name": "a",}', "body", "not JSON"),
    (b"\xff\xfe", "body", "not UTF-8"),
    (b"", "body", "required"),
    (b"null", "body", "an object"),
    (b"[]", "body", "an object"),
    (b'"job"', "body", "an object"),
    (b"[" * 100_000, "body", "nested too deeply"),
    (b'{"priority": ' + b"9" * 5000 + b"}", "body", "too many digits"),
    (b'{"name": "a", "name": "b"}', "name", "given twice"),
    (b'{"resources": {"cpu": 1, "cpu": 2}}', "resources.cpu", "given twice"),
    (b'{"retry": [{}, {"a": 1, "a": 2}]}', "retry.1.a", "given twice"),
    (b'{"priority": NaN}', "priority", "NaN"),
    (b'{"env": {"A": "x\\u0000y"}}', "env.A", "NUL"),
    (b'{"labels": {"a": "x\\u0000y"}}', "labels.a", "NUL"),
    (b'{"docker_image": "x\\u0000y"}', "docker_image", "NUL"),
    (b'{"command": ["a", "x\\u0000y"]}', "command.1", "NUL"),
    (b'{"env": {"\\u0000": "x"}}', "env", "NUL"),
    (b'{"env": {"A": "\\ud800"}}', "env.A", "surrogate"),
    (b'{"\\udfff": 1}', "body", "surrogate"),
]


def post(world: World, body: bytes) -> dict[str, Any]:
    answer = world.admin.http.post(
        "/jobs", content=body, headers={"Content-Type": "application/json"}
    )
    return check_problem(answer, 422)


@pytest.mark.parametrize(("change", "field", "says"), BAD_FIELDS)
def test_a_bad_value_is_named(world: World, change: dict[str, Any], field: str, says: str) -> None:
    problem = post(world, json.dumps({**GOOD, **change}).encode())
    [error] = problem["errors"]
    assert error["field"] == field
    assert says in error["detail"]
    assert field in problem["detail"], "the sentence people read names the field too"


@pytest.mark.parametrize(("change", "field", "nearest"), UNKNOWN)
def test_an_unknown_field_is_refused_with_the_nearest_name(
    world: World, change: dict[str, Any], field: str, nearest: str | None
) -> None:
    problem = post(world, json.dumps({**GOOD, **change}).encode())
    [error] = problem["errors"]
    assert (error["field"], error["nearest"]) == (field, nearest)
    assert "unknown field" in error["detail"]


@pytest.mark.parametrize(("body", "field", "says"), NOT_JSON)
def test_a_body_that_cannot_be_read(world: World, body: bytes, field: str, says: str) -> None:
    [error] = post(world, body)["errors"]
    assert error["field"] == field
    assert says in error["detail"]


def test_every_missing_field_is_named_at_once(world: World) -> None:
    errors = post(world, b"{}")["errors"]
    assert [error["field"] for error in errors] == ["name", "project_id", "command"]


def test_a_body_that_says_it_is_no_json(world: World) -> None:
    answer = world.admin.http.post(
        "/jobs", content=json.dumps(GOOD), headers={"Content-Type": "text/plain"}
    )
    [error] = check_problem(answer, 422)["errors"]
    assert error["field"] == "body"
    assert "Content-Type: application/json" in error["detail"]


def test_a_batch_names_the_job_and_stores_none(world: World) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"name": "Not A Name"}, "jobs.2.name"),
        ({"priority": -1}, "jobs.2.priority"),
        (fields(cpu="lots"), "jobs.2.resources.cpu"),
        (fields(gpu_type="A100"), "jobs.2.resources.gpu_type"),
    ]
    for wrong, field in cases:
        answer = world.admin.post("/jobs:batch", {"jobs": [GOOD, GOOD, {**GOOD, **wrong}]})
        assert [e["field"] for e in check_problem(answer, 422)["errors"]] == [field]
    too_many = world.admin.post("/jobs:batch", {"jobs": [GOOD] * 1001})
    assert "at most 1000 items" in check_problem(too_many, 422)["detail"]
    assert check_problem(world.admin.post("/jobs:batch", {"jobs": []}), 422)
    foreign = {"jobs": [GOOD, {**GOOD, "project_id": "no-such-project"}]}
    assert check_problem(world.admin.post("/jobs:batch", foreign), 404)


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(world: World) -> None:
    limit = world.cell.settings.body_limit_bytes
    body = json.dumps({**GOOD, "env": {"A": "x" * limit}}).encode()
    headers = {"Content-Type": "application/json"}
    announced = world.admin.http.post("/jobs", content=body, headers=headers)
    assert check_problem(announced, 413)["code"] == "body_too_large"

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    chunked = world.admin.http.post("/jobs", content=pieces(), headers=headers)
    assert "content-length" not in chunked.request.headers
    assert check_problem(chunked, 413)["code"] == "body_too_large"
    keyed = {**headers, "Idempotency-Key": "large"}
    assert check_problem(world.admin.http.post("/jobs", content=pieces(), headers=keyed), 413)


QUERIES: list[tuple[str, str, str]] = [
    # a query, the parameter, a part of what the answer says
    ("/jobs?limit=0", "limit", "greater than or equal to 1"),
    ("/jobs?limit=1001", "limit", "less than or equal to 1000"),
    ("/jobs?limit=ten", "limit", "valid integer"),
    ("/jobs?phase=flying", "phase.0", "'queued'"),
    ("/jobs?cursor=!!!", "cursor", "as it was"),
    ("/jobs?cursor=YQ", "cursor", "as it was"),
    ("/jobs?name=a%00b", "name", "NUL"),
    ("/jobs?user=%00", "user", "NUL"),
    ("/jobs?project_id=%00", "project_id", "NUL"),
    ("/jobs?project=x", "project", "did you mean 'project_id'?"),
    ("/jobs?verbose=1", "verbose", "unknown"),
    ("/jobs?limit=1&limit=2", "limit", "given twice"),
    ("/jobs/a%00b", "job", "NUL"),
    ("/jobs/a%00b/logs", "job", "NUL"),
    ("/nodes/%00", "node", "NUL"),
    ("/projects/%00", "project", "NUL"),
    ("/jobs?min_position=-1", "min_position", "greater than or equal to 0"),
    ("/jobs?min_position=9223372036854775808", "min_position", "less than or equal to"),
    ("/usage?since=yesterday", "since", "write a time such as"),
    ("/usage?since=2026-01-01T00:00:00", "since", "time zone"),
    ("/usage?since=1960-01-01T00:00:00Z", "since", "after 1970"),
    ("/usage?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "since", "not lie after"),
    ("/usage?group_by=team", "group_by", "'project', 'user' or 'job'"),
    ("/events?after=-1", "after", "greater than or equal to 0"),
    ("/queue?limit=10001", "limit", "less than or equal to 10000"),
]


@pytest.mark.parametrize(("path", "field", "says"), QUERIES)
def test_a_bad_parameter_is_named(world: World, path: str, field: str, says: str) -> None:
    [error] = check_problem(world.admin.get(path), 422)["errors"]
    assert error["field"] == field
    assert says in error["detail"]


@pytest.mark.parametrize("last", [b"\xb2", b"-1", b"1e3", b"9" * 20, b"9" * 21, b""])
def test_a_bad_last_event_id_is_refused(world: World, last: bytes) -> None:
    headers = {b"Accept": b"text/event-stream", b"Last-Event-ID": last}
    answer = world.admin.http.get("/events", headers=headers)
    [error] = check_problem(answer, 422)["errors"]
    assert error["field"] == "last-event-id"
