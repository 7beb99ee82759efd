"""Histories as stored rows, one JSON line each, and what today's code makes of them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from domain.event import Recorded, StreamId
from domain.scheduling.snapshot import Snapshot
from infra.codec import from_stored, to_stored
from tests.projections.tables import folded
from tests.simulation.world import World

FOLDER = Path(__file__).parent
SEEDS = (3, 24)
"""Worlds with every command and fault in them; what they recorded is kept."""


def plain(value: object) -> Any:
    """A state as JSON has it: what it is, by the names of its fields."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(str(plain(item)) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int) else str(value)


def states(events: Iterable[Recorded]) -> dict[str, Any]:
    """Every read model, and what the scheduler decides from."""
    history = list(events)
    snapshot = Snapshot()
    for event in history:
        snapshot.apply(event)
    found: dict[str, Any] = {name: plain(rows) for name, rows in folded(history).items()}
    nodes = {name: plain(state.taken) for name, state in snapshot.nodes.items()}
    live = {"jobs": plain(snapshot.jobs), "taken": nodes, "versions": plain(snapshot.versions)}
    return found | {"snapshot": live}


def differences(then: Any, now: Any, where: str = "") -> list[str]:
    """Where the state differs from what it was; a field that is new is no difference."""
    if isinstance(then, dict) and isinstance(now, dict):
        gone = [f"{where}/{key} is gone" for key in then.keys() - now.keys()]
        both = [(key, then[key], now[key]) for key in then.keys() & now.keys()]
        return gone + [d for key, a, b in both for d in differences(a, b, f"{where}/{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [d for n, (a, b) in pairs for d in differences(a, b, f"{where}/{n}")]
    return [] if then == now else [f"{where}: {then} was, {now} is"]


def record(version: str) -> None:
    """Write what these worlds record, and the states it leads to."""
    for seed in SEEDS:
        world = World(seed)
        outcome = world.run()
        assert outcome.violation is None, outcome.violation
        events = world.log.read(0, 10**9)
        head = {"states": states(events)}
        lines = [json.dumps(head), *(json.dumps(_line(event)) for event in events)]
        text = "\n".join(lines).encode()
        (FOLDER / f"{version}-{seed}.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))


def _line(event: Recorded) -> list[Any]:
    row = to_stored(event.stream, event.version, event.event, event.meta, event.epoch)
    state = base64.b64encode(row.state).decode()
    return [event.position, event.stream, event.version, row.topic, state, event.recorded_at]


def recorded() -> list[Path]:
    """Every history there is."""
    return sorted(FOLDER.glob("*.jsonl.gz"))


def load(path: Path) -> tuple[dict[str, Any], list[Recorded]]:
    """The states a history led to when it was recorded, and its events read by today's code."""
    head, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    events = []
    for line in lines:
        position, stream, version, name, state, at = json.loads(line)
        data = base64.b64decode(state)
        events.append(from_stored(position, StreamId(stream), version, name, data, at))
    found: dict[str, Any] = json.loads(head)["states"]
    return found, events
