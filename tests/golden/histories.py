"""Histories as stored rows, one JSON line each, and what today's code makes of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from domain.event import Recorded, StreamId
from domain.scheduling.snapshot import Snapshot
from infra.codec import from_stored, to_stored
from tests.projections.tables import folded
from tests.simulation.world import World

FOLDER = Path(__file__).parent
SEEDS = (3, 24)
"""Worlds with every command and fault in them; what they recorded is kept."""


def digest(value: object) -> str:
    """Of a state: dataclasses show all they hold."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def states(events: Iterable[Recorded]) -> dict[str, str]:
    """A digest of every read model, and of the snapshot the scheduler decides from."""
    history = list(events)
    snapshot = Snapshot()
    for event in history:
        snapshot.apply(event)
    found = {name: digest(sorted(rows.items())) for name, rows in folded(history).items()}
    live = (sorted(snapshot.jobs), sorted(snapshot.allocations), sorted(snapshot.versions.items()))
    return found | {"snapshot": digest(live)}


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


def load(path: Path) -> tuple[dict[str, str], list[Recorded]]:
    """The states a history led to when it was recorded, and its events read by today's code."""
    head, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    events = []
    for line in lines:
        position, stream, version, name, state, at = json.loads(line)
        data = base64.b64decode(state)
        events.append(from_stored(position, StreamId(stream), version, name, data, at))
    found: dict[str, str] = json.loads(head)["states"]
    return found, events
