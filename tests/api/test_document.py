"""The OpenAPI document, and the live server held to it by generated requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from infra.asyncapi import PAGE
from tests.api.node import Node
from tests.api.test_access import CALLERS
from tests.api.world import World
from tests.processors.test_witness import sign

EXAMPLES = 10
"""Requests a route, of each kind: the table of bad input has the thought-out ones."""


def test_the_document_is_valid_openapi_3_2(world: World) -> None:
    document = world.admin.http.get("/openapi.json").json()
    assert document["openapi"] == "3.2.0"
    validate(document)


def test_the_document_of_the_events_is_served_as_committed_to_anyone(world: World) -> None:
    answer = httpx.get(f"{world.url}/api/v1/asyncapi.json")
    assert answer.status_code == 200
    assert answer.json() == json.loads(PAGE.read_text())


def test_every_operation_says_what_it_does_and_how_it_fails(world: World) -> None:
    names = set()
    for path, operations in world.app.openapi()["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            names.add(operation["operationId"])
            for status, answer in operation["responses"].items():
                kind = "application/problem+json"
                assert int(status) < 400 or kind in answer["content"], f"{where} {status}"
    assert len(names) == sum(len(o) for o in world.app.openapi()["paths"].values())


def test_answers_are_as_the_document_says(world: World, tmp_path: Path) -> None:
    """Each GET on a cell with something in it, against its schema with nothing left over."""
    node = Node(world)
    node.register()
    project = world.project()
    order = node.run(project)
    world.submit(project, resources={"gpu": 99})
    world.schedule()
    reservation = {
        "name": "demo",
        "start": "2199-01-01T00:00:00Z",
        "duration_seconds": 60,
        "nodes": [node.name],
        "projects": [project],
    }
    world.caught_up()
    assert world.admin.post("/reservations", reservation).status_code == 202
    document = world.app.openapi()
    sign(world.dsn, world.store, tmp_path)
    names = {"job": order["job"], "node": node.name, "project": project, "position": 1}
    names["reservation"] = "demo"
    for path, operations in document["paths"].items():
        if "get" not in operations or path.endswith(("/logs", "/export", "/metrics")):
            continue
        answer = world.admin.get(path.removeprefix("/api/v1").format(**names))
        assert answer.status_code == 200, path
        schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


@pytest.fixture(scope="module")
def live(world: World) -> Any:
    """The document as schemathesis reads it from the live server, on which something runs."""
    node = Node(world)
    node.register()
    node.run(world.project())
    config = SchemathesisConfig.from_dict(
        {"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}
    )
    return schemathesis.openapi.from_url(f"{world.url}/api/v1/openapi.json", config=config)


REFUSED = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""Invalid requests may get these; a random one may be too large as well (413)."""
NOT_HELD = {
    "unsupported_method",  # TRACE and the like: the document lists what there is
    "allow_header_conformance",
    "positive_data_acceptance",  # a valid body can name no such project, or a job that ended
    "missing_required_header",  # the only such header is Authorization: tests/api/test_access.py
    "ignored_auth",
    "object_level_authorization",
    "use_after_free",
    "ensure_resource_availability",
}
WITHOUT_END = {"GET /events", "GET /jobs/{job}/logs"}
"""Streams: tests/api/test_output.py reads them."""


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("route", sorted(CALLERS.keys() - WITHOUT_END))
def test_generated_requests_are_answered_as_documented(
    world: World, live: Any, route: str, mode: GenerationMode
) -> None:
    method, path = route.split()
    operation = live[f"/api/v1{path}"][method]
    checks = CHECKS.get_by_names([n for n in CHECKS.get_all_names() if n not in NOT_HELD])
    headers = {"Authorization": f"Bearer {world.admin.token}"}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def hold(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=checks)

    hold()
