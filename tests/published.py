"""Events held to docs/asyncapi.json as it is committed: what every consumer was promised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec

from domain.event import Event
from infra.asyncapi import PAGE

_plain = msgspec.json.Encoder()


@cache
def committed() -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = json.loads(PAGE.read_text())
    return found


@cache
def _validator(schema: str) -> Any:
    """For a schema of the document, with nothing left over in any object."""
    schemas = {name: _closed(part) for name, part in committed()["components"]["schemas"].items()}
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": schemas}}
    )


def _closed(schema: Any) -> Any:
    """No field that the document does not name: consumers cannot know what it would mean."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict):
        parts["properties"] = {n: _closed(part) for n, part in schema["properties"].items()}
        parts.setdefault("additionalProperties", False)
    return parts


def check(name: str, data: object) -> None:
    """AssertionError, saying what is wrong, unless the data is as published for this event."""
    assert name in committed()["components"]["messages"], f"{name} is not published"
    _hold(name, data)


def check_record(headers: Mapping[str, str], value: bytes) -> None:
    """The same for a record of the topic, headers and value."""
    _hold("headers", dict(headers))
    check(headers["ce_type"], json.loads(value))


def _hold(schema: str, data: object) -> None:
    wrong = [str(error) for error in _validator(schema).iter_errors(data)]
    assert not wrong, f"{schema} is not as docs/asyncapi.json says: {wrong}"


class CheckedEncoder:
    """The encoder of `infra.codec`, which lets no event through that is not as published."""

    def encode(self, envelope: dict[str, Any]) -> bytes:
        """The row's state."""
        encoded = _plain.encode(envelope)
        event = envelope["data"]
        assert isinstance(event, Event), event
        if type(event).__module__.startswith("domain."):  # a test may declare its own
            check(event.topic, json.loads(encoded)["data"])
        return encoded
