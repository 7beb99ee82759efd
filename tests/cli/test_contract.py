"""The cell of these tests speaks as the real API: its answers are held to the real document."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest

from api.app import create_app
from infra.settings import Settings
from tests.cli.cell import Cell, ended
from tests.cli.routes import route

CALLS: dict[str, tuple[list[str], Any]] = {
    "GET /jobs": (["jobs"], None),
    "POST /jobs": (["jobs"], {"name": "x", "project_id": "p", "command": ["true"]}),
    "POST /jobs:batch": (
        ["jobs:batch"],
        {"jobs": [{"name": "x", "project_id": "p", "command": ["true"]}]},
    ),
    "GET /jobs/{job}": (["jobs", "{job}"], None),
    "PATCH /jobs/{job}": (["jobs", "{job}"], {"priority": 5}),
    "GET /jobs/{job}/why": (["jobs", "{job}", "why"], None),
    "GET /jobs/{job}/events": (["jobs", "{job}", "events"], None),
    "POST /jobs/{job}/cancel": (["jobs", "{job}", "cancel"], None),
    "GET /queue": (["queue"], None),
    "GET /resources/pools": (["resources", "pools"], None),
    "GET /nodes": (["nodes"], None),
    "GET /nodes/{node}": (["nodes", "node-001"], None),
    "POST /nodes/{node}/cordon": (["nodes", "node-001", "cordon"], {"reason": "x"}),
    "GET /projects": (["projects"], None),
    "GET /projects/{project}": (["projects", "ml-research"], None),
    "POST /projects": (["projects"], {"id": "new"}),
    "PUT /projects/{project}/quota": (["projects", "ml-research", "quota"], {"gpu": 4}),
    "POST /tokens": (["tokens"], {"principal": "bob"}),
    "GET /tokens": (["tokens"], None),
    "DELETE /tokens/{token}": (["tokens", "token-1"], None),
    "GET /policy/scheduler": (["policy", "scheduler"], None),
    "GET /policy/prices": (["policy", "prices"], None),
    "PUT /policy/scheduler": (["policy", "scheduler"], {"grace_seconds": 5}),
    "GET /reservations": (["reservations"], None),
    "GET /reservations/{reservation}": (["reservations", "course"], None),
    "POST /reservations": (["reservations"], {"name": "new"}),
    "DELETE /reservations/{reservation}": (["reservations", "course"], None),
    "GET /views": (["views"], None),
    "GET /quarantine": (["quarantine"], None),
    "POST /quarantine/retry": (["quarantine", "retry"], {"consumer": None}),
    "POST /quarantine/discard": (
        ["quarantine", "discard"],
        {"stream": "job/x", "position": 17, "reason": "x", "consumer": None},
    ),
    "GET /usage": (["usage"], None),
    "GET /cost": (["cost"], None),
    "GET /whoami": (["whoami"], None),
}
EXTRA = {"not_in_the_contract_yet"}
"""What the cell adds on purpose: a client passes on what it does not know."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="postgresql://nowhere")).openapi()


@pytest.mark.parametrize("call", CALLS)
def test_answers_are_as_the_real_document_says(document: dict[str, Any], call: str) -> None:
    cell = Cell()
    cell.add(name="waits")
    job = str(cell.add(name="done", **ended("succeeded", 0))["id"])
    words, body = CALLS[call]
    method, path = call.split()
    if method in ("PATCH", "POST") and "{job}" in path:
        job = str(cell.add(name="one")["id"])
    with cell.changed:
        status, answer = route(
            cell, method, [word.format(job=job) for word in words], {"limit": ["9"]}, body
        )
    if method != "GET":
        answer = {"position": 1, **answer}  # the server adds it to every command
    operation = document["paths"][f"/api/v1{path}"][method.lower()]
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    components = {k: closed(v) for k, v in document["components"]["schemas"].items()}
    whole = {**closed(schema), "components": {"schemas": components}}
    jsonschema.validate(without_extra(answer), whole)


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with nothing allowed that it does not name."""
    found = copy.deepcopy(schema)
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def without_extra(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {k: without_extra(v) for k, v in answer.items() if k not in EXTRA}
    return [without_extra(v) for v in answer] if isinstance(answer, list) else answer
