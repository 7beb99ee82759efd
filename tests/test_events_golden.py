"""Every event's JSON Schema, as committed: it may only grow.

`python -m tests.test_events_golden` adds new events and new optional fields to the file.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from domain.event import events

GOLDEN = Path(__file__).parent / "events.golden.json"
AGGREGATES = (
    "job",
    "allocation",
    "node",
    "project",
    "checkpoint",
    "policy",
    "token",
    "consumer",
    "reservation",
    "scheduling",
)


def schemas() -> dict[str, Any]:
    """The schema of every event by its name."""
    for aggregate in AGGREGATES:
        import_module(f"domain.{aggregate}.events")
    found = {name: msgspec.json.schema(kind) for name, kind in sorted(events().items())}
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def breaks(old: Any, new: Any, path: str = "") -> list[str]:
    """What an old event would miss in the new schema."""
    found = []
    for name, schema in old.get("$defs", {}).items():
        found += breaks(schema, new.get("$defs", {}).get(name, {}), f"{path}{name}.")
    for name, field in old.get("properties", {}).items():
        now = new.get("properties", {}).get(name)
        if now is None:
            found.append(f"{path}{name} is gone")
        elif {k: v for k, v in field.items() if k != "description"} != {
            k: v for k, v in now.items() if k != "description"
        }:
            found.append(f"{path}{name} changed")
    fresh = set(new.get("required", ())) - set(old.get("required", ()))
    found += [f"{path}{name} is required and was not" for name in sorted(fresh)]
    gone = set(old.get("enum", ())) - set(new.get("enum", ()))
    return found + [f"{path}{value} is no longer a value" for value in sorted(gone)]


def test_events_only_grow() -> None:
    golden, now = json.loads(GOLDEN.read_text()), schemas()
    broken = [
        f"{name}: {what}"
        for name, schema in golden.items()
        for what in (breaks(schema, now[name]) if name in now else ["is gone: upcast it"])
    ]
    assert not broken, "use a new name and an upcast (docs: CONTRIBUTING.md, An event)"


def test_the_file_is_complete() -> None:
    assert json.loads(GOLDEN.read_text()) == schemas(), "run python -m tests.test_events_golden"


def test_what_breaks_old_events_is_noticed() -> None:
    old = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert breaks(old, {"properties": {}}) == ["a is gone"]
    assert breaks(old, {"properties": {"a": {"type": "string"}}}) == ["a changed"]
    grown = {"properties": {**old["properties"], "b": {}}, "required": ["a", "b"]}  # type: ignore[dict-item]  # a literal
    assert breaks(old, grown) == ["b is required and was not"]
    assert breaks(old, {**grown, "required": ["a"]}) == []


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(schemas(), indent=1, sort_keys=True) + "\n")
