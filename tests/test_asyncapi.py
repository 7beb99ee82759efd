"""docs/asyncapi.json: complete, valid AsyncAPI 3.1, and what events in tests are held to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.asyncapi import PAGE, kinds, text
from infra.cloudevents import to_message
from infra.codec import to_stored
from infra.outbox import Row
from infra.store import stream_of
from tests.published import check, check_record

STANDARD = Path(__file__).parent / "asyncapi-3.1.0.schema.json"
META = Meta("ada", "command:1", "trace-1", "ml")
DOCUMENT: dict[str, Any] = json.loads(PAGE.read_text())


def test_the_committed_document_is_what_the_classes_make() -> None:
    assert PAGE.read_text() == text(), "run python -m infra.asyncapi"


def test_it_is_valid_asyncapi_3_1() -> None:
    standard = jsonschema_rs.validator_for(json.loads(STANDARD.read_text()))
    assert DOCUMENT["asyncapi"] == "3.1.0"
    assert [str(error) for error in standard.iter_errors(DOCUMENT)] == []
    broken = json.loads(PAGE.read_text())
    broken["operations"]["sendEvents"]["action"] = "shout"
    assert not standard.is_valid(broken)


def test_every_event_is_a_message_of_the_channel_with_a_schema_of_its_own() -> None:
    names = {kind.topic for kind in kinds()}
    components = DOCUMENT["components"]
    assert (
        names == components["messages"].keys() == DOCUMENT["channels"]["events"]["messages"].keys()
    )
    for name in names:
        schema = components["schemas"][name]
        jsonschema_rs.meta.validate(
            {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
        )
        assert components["messages"][name]["summary"], f"{name} does not say what it means"


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert found
    for reference in found:
        part = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def references(part: Any) -> list[str]:
    if isinstance(part, Mapping):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for value in part.values() for ref in references(value)]
    return [ref for value in part for ref in references(value)] if isinstance(part, list) else []


def test_an_event_that_is_not_as_published_cannot_be_written_by_a_test() -> None:
    wrong = Created(ProjectId("ml"), 7)  # type: ignore[arg-type]  # what is to be noticed
    with pytest.raises(AssertionError, match=r"project\.created\.v1 is not as"):
        to_stored(stream_of("project", "ml"), 1, wrong, META, None)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"project": "ml", "description": "", "colour": "red"}, "colour"),
        ({"description": ""}, "project"),
        ({"project": "ml", "description": None}, "null"),
    ],
)
def test_data_with_more_less_or_other_than_published_is_noticed(data: object, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check("project.created.v1", data)


@pytest.mark.parametrize("epoch", [None, 3])
def test_a_record_is_as_published_headers_and_value(epoch: int | None) -> None:
    stream = stream_of("project", "ml")
    stored = to_stored(stream, 1, Created(ProjectId("ml"), "x"), META, epoch)
    row = Row(7, stream, 1, stored.topic, stored.state, 1_700_000_000_000_000)
    message = to_message(row, 6, "/compute/cells/main")
    headers = {name: value.decode() for name, value in message.headers}
    check_record(headers, message.value)
    for name in headers:
        if name not in ("ce_project", "ce_epoch"):
            with pytest.raises(AssertionError, match=name):
                check_record({n: v for n, v in headers.items() if n != name}, message.value)
