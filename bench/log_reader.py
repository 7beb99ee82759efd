"""A platform's own log: all of it, from a file that `compute audit export` wrote or by its DSN."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from compute_platform.verify import EXPORT
from domain.errors import Unavailable
from domain.event import Recorded
from infra.codec import UnknownEvent, from_stored
from infra.store import Store

BATCH = 5000
_TEXT = rb'"(?:[^"\\]|\\.)*"'
_EVENT = re.compile(
    rb'\{"position":([0-9]+),"previous":([0-9]+),"stream":(%b),"version":([0-9]+),"name":(%b),'
    rb'"recorded_at":([0-9]+),(.*)\n' % (_TEXT, _TEXT)
)


def read_export(path: Path) -> list[Recorded]:
    """The events of an export (docs/audit-log.md), which must be whole.

    Whether they are as they were signed is not looked at: `compute audit verify` says that.
    SystemExit names the line that is wrong.
    """
    try:
        with path.open("rb") as file:
            return list(_events(path, enumerate(file, 1)))
    except OSError as error:
        raise SystemExit(f"cannot read {path}: {error.strerror}") from None


def _events(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[Recorded]:
    size, before = _size(path, lines), 0
    count = 0
    for number, line in lines:
        if not line.endswith(b"\n"):
            raise SystemExit(f"{path}:{number}: the export breaks off in this line: export anew")
        found = _EVENT.fullmatch(line)
        if found is None:
            raise SystemExit(f"{path}:{number}: no event of an export")
        position, previous, stream, version, name, at, rest = found.groups()
        if int(previous) != before:
            raise SystemExit(f"{path}:{number}: does not follow position {before}: lines are gone")
        before, count = int(position), count + 1
        try:
            state = bytes.fromhex(rest[1:].decode()) if rest[:1] == b"!" else b"{" + rest
            yield from_stored(
                before, json.loads(stream), int(version), json.loads(name), state, int(at)
            )
        except (UnknownEvent, ValueError) as error:
            raise SystemExit(f"{path}:{number}: cannot be read: {error}") from None
    if count != size:
        raise SystemExit(f"{path}: {count} events are here, {size} were exported: export anew")


def _size(path: Path, lines: Iterator[tuple[int, bytes]]) -> int:
    """How many events the heads say there are; `lines` are then at the first."""
    try:
        first = json.loads(next(lines, (1, b""))[1])
        if first["format"] != EXPORT:
            raise ValueError
        heads = int(first["heads"])
    except (ValueError, KeyError, TypeError):
        raise SystemExit(f"{path}:1: not an export: `compute audit export` writes one") from None
    size = 0
    for _ in range(heads):
        number, line = next(lines, (0, b""))
        try:
            size = int(json.loads(line)["size"])
        except (ValueError, KeyError, TypeError):
            where = f":{number}" if number else ""
            raise SystemExit(f"{path}{where}: the export breaks off in its heads") from None
    return size


def read_log(dsn: str) -> list[Recorded]:
    """All events of the log in this database, which is only read."""
    found: list[Recorded] = []
    try:
        with closing(Store(dsn, pool_size=2)) as store:
            while batch := store.read(found[-1].position if found else 0, BATCH):
                found += batch
    except Unavailable as error:
        raise SystemExit(f"--dsn: {error.detail}") from None
    except UnknownEvent as error:
        raise SystemExit(f"--dsn: the log cannot be read: {error}") from None
    return found
