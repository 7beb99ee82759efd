"""The AsyncAPI 3.1 document of a cell's topic, made from the event classes.

`python -m infra.asyncapi` writes docs/asyncapi.json. Schemas are JSON Schema draft 07, which every
AsyncAPI tool reads.
"""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

import domain
from domain.event import Event, events

Json = dict[str, Any]

PAGE = Path(__file__).parents[1] / "docs" / "asyncapi.json"
_SCHEMAS = "#/components/schemas/"
_INTEGER = "^(0|[1-9][0-9]*)$"
_HEADERS = {  # name: what it is, its pattern
    "ce_specversion": ("CloudEvents' version", "^1\\.0$"),
    "ce_id": ("the position", _INTEGER),
    "ce_source": ("the cell", "^/compute/cells/[a-z0-9-]+$"),
    "ce_type": ("the event's name and version", "^[a-z_]+\\.[a-z_]+\\.v[1-9][0-9]*$"),
    "ce_subject": ("the stream the event belongs to; also the record's key", "^[a-z]+/.+$"),
    "ce_time": ("when it was recorded (RFC 3339); never falls", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T"),
    "ce_position": ("the place in the log; rises, may have gaps", _INTEGER),
    "ce_previous": ("the position of the event before: shows what is missing", _INTEGER),
    "ce_streamversion": ("which event of its stream it is, from 1", "^[1-9][0-9]*$"),
    "ce_actor": ("who did it", ""),
    "ce_cause": ("the command or event that led to it", ""),
    "ce_correlation": ("the trace it belongs to", ""),
    "ce_project": ("the project, where there is one", ""),
    "ce_epoch": ("the epoch of the leader that decided it, where one did", _INTEGER),
    "content-type": ("of the value", "^application/json$"),
}
_SOMETIMES = {"ce_project", "ce_epoch"}


def kinds() -> list[type[Event]]:
    """Every event class of the domain, by name."""
    for module in sorted(Path(domain.__path__[0]).glob("*/events.py")):
        import_module(f"domain.{module.parent.name}.events")
    return [kind for _, kind in sorted(events().items()) if kind.__module__.startswith("domain.")]


def document() -> Json:
    """The whole document."""
    named = kinds()
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Compute Platform events",
            "version": "1",
            "description": "Everything that happens in a cell, in the order of its log, at least"
            " once, as CloudEvents 1.0 in binary mode. docs/events.md says how to read it.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {"events": _channel(named)},
        "operations": {
            "sendEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "The platform's relay copies the log to the topic.",
            }
        },
        "components": {
            "schemas": {"headers": _headers(), **_payloads(named)},
            "messages": {kind.topic: _message(kind) for kind in named},
            "securitySchemes": {
                "scram": {
                    "type": "scramSha512",
                    "description": "SASL/SCRAM-SHA-512 over TLS, one principal a consumer.",
                }
            },
        },
    }


def text() -> str:
    """The document as docs/asyncapi.json holds it."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def _servers() -> Json:
    variables = {"broker": {"description": "host:port, as in COMPUTE_KAFKA"}}
    host = {"host": "{broker}", "variables": variables}
    scram = [{"$ref": "#/components/securitySchemes/scram"}]
    return {
        "secure": {
            **host,
            "protocol": "kafka-secure",
            "description": "COMPUTE_KAFKA_SECURITY=sasl_ssl",
            "security": scram,
        },
        "plain": {**host, "protocol": "kafka", "description": "on loopback, to try it"},
    }


def _channel(named: list[type[Event]]) -> Json:
    return {
        "address": "compute.{cell}.events",
        "description": "One topic a cell, with one partition.",
        "parameters": {"cell": {"description": "COMPUTE_CELL", "default": "main"}},
        "messages": {k.topic: {"$ref": f"#/components/messages/{k.topic}"} for k in named},
        "bindings": {"kafka": {"partitions": 1, "bindingVersion": "0.5.0"}},
    }


def _message(kind: type[Event]) -> Json:
    return {
        "name": kind.topic,
        "summary": inspect.cleandoc(kind.__doc__ or ""),
        "contentType": "application/json",
        "headers": {"$ref": f"{_SCHEMAS}headers"},
        "payload": {"$ref": f"{_SCHEMAS}{kind.topic}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "the stream, as ce_subject"},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _headers() -> Json:
    properties = {
        name: {"type": "string", "description": about, **({"pattern": form} if form else {})}
        for name, (about, form) in _HEADERS.items()
    }
    required = [name for name in _HEADERS if name not in _SOMETIMES]
    return {"type": "object", "properties": properties, "required": required}


def _payloads(named: list[type[Event]]) -> Json:
    """The schema of each event under its own name, and of what they are made of."""
    refs, found = msgspec.json.schema_components(named, ref_template=f"{_SCHEMAS}{{name}}")
    for kind, ref in zip(named, refs, strict=True):
        found[kind.topic] = found.pop(ref["$ref"].removeprefix(_SCHEMAS))
    return {name: _draft_07(schema) for name, schema in found.items()}


def _draft_07(schema: Any) -> Any:
    """A schema of msgspec's, which uses one word of 2020-12: `prefixItems`."""
    if isinstance(schema, list):
        return [_draft_07(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _draft_07(part) for name, part in schema.items() if name != "prefixItems"}
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])
    if "prefixItems" in schema:
        rest = plain.pop("items")
        plain |= {"items": _draft_07(schema["prefixItems"]), "additionalItems": rest}
    return plain


if __name__ == "__main__":
    PAGE.write_text(text())
