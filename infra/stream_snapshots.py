"""Snapshots of long streams, so that who loads one reads only its end.

A job that trains for weeks has thousands of checkpoints, and each next one is decided on what all
before have left. Nothing rests on a snapshot: one that other code has folded is passed over.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import domain
from domain.allocation import allocation
from domain.checkpoint import checkpoint
from domain.consumer import consumer
from domain.job import job
from domain.node import node
from domain.policy import policy
from domain.project import project
from domain.reservation import reservation
from domain.token import token

EVERY = 500
"""A stream is folded from its last snapshot until so many events have come since."""
FIND = "SELECT version, digest, state FROM stream_snapshots WHERE stream = %s AND form = %s"
KEEP = (
    "INSERT INTO stream_snapshots AS s (stream, version, form, digest, state)"
    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (stream) DO UPDATE SET version = excluded.version,"
    " form = excluded.form, digest = excluded.digest, state = excluded.state,"
    " saved_at = clock_timestamp() WHERE s.form <> excluded.form OR s.version < excluded.version"
    " RETURNING version"
)
DECODERS: dict[Callable[..., Any], msgspec.json.Decoder[Any]] = {
    allocation.evolve: msgspec.json.Decoder(allocation.Allocation),
    checkpoint.evolve: msgspec.json.Decoder(checkpoint.Checkpoints),
    consumer.evolve: msgspec.json.Decoder(consumer.Consumer),
    job.evolve: msgspec.json.Decoder(job.Job),
    node.evolve: msgspec.json.Decoder(node.Node),
    policy.evolve: msgspec.json.Decoder(policy.Policy),
    project.evolve: msgspec.json.Decoder(project.Project),
    reservation.evolve: msgspec.json.Decoder(reservation.Reservation),
    token.evolve: msgspec.json.Decoder(token.Token),
}
"""How to read the state that an aggregate's events are folded into."""
log = logging.getLogger(__name__)


@cache
def form() -> str:
    """The code that folds: any change of the domain makes all snapshots another's."""
    found = hashlib.sha256()
    top = Path(domain.__path__[0])
    for file in sorted(top.rglob("*.py")):
        found.update(f"{file.relative_to(top)} ".encode() + file.read_bytes())
    return found.hexdigest()[:32]


def pack(stream: str, version: int, state: object) -> tuple[str, int, str, str, bytes]:
    """The values of `KEEP`."""
    data = msgspec.json.encode(state)
    return stream, version, form(), _digest(stream, version, data), data


def unpack(
    stream: str, row: tuple[int, str, bytes], decoder: msgspec.json.Decoder[Any]
) -> tuple[Any, int] | None:
    """State and version of a row of `FIND`; None, with a line in the log, if it is damaged."""
    version, digest, data = row
    try:
        if _digest(stream, version, data) == digest:
            return decoder.decode(data), version
    except msgspec.DecodeError as error:
        log.debug("%s: %s", stream, error)
    log.error("the snapshot of %s is damaged and is passed over", stream)
    return None


def _digest(stream: str, version: int, data: bytes) -> str:
    return hashlib.sha256(f"{stream} {version} {form()} ".encode() + data).hexdigest()
