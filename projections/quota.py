"""Quota: what each project may hold and what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection

from domain.allocation.events import Granted, Released
from domain.event import Recorded
from domain.project.events import Created, Quota, QuotaSet
from domain.values.resources import NOTHING, Resources
from projections.view import Key, View


@dataclass(frozen=True)
class QuotaRow:
    """A project's limits and what its allocations hold now."""

    project: str
    quota: Quota
    used: Resources
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    match recorded.event:
        case Created(project=project):
            yield (project,)
        case QuotaSet():
            yield (recorded.stream.partition("/")[2],)
        case Granted() | Released():
            yield (recorded.meta.project or "",)


def _fold(row: QuotaRow | None, key: Key, recorded: Recorded) -> QuotaRow:
    row = row or QuotaRow(str(key[0]), Quota(), NOTHING, 0)
    row = replace(row, position=recorded.position)
    match recorded.event:
        case QuotaSet(quota=quota):
            return replace(row, quota=quota)
        case Granted(seats=seats, per_seat=per_seat):
            return replace(row, used=row.used + per_seat * len(seats))
        case Released(seats=seats, per_seat=per_seat):
            return replace(row, used=row.used - per_seat * len(seats))
    return row


VIEW = View(name="quota", row=QuotaRow, key=("project",), touches=_touches, fold=_fold)


def get(connection: Connection[dict[str, Any]], project: str) -> QuotaRow | None:
    """A project's limits and use."""
    record = connection.execute(
        "SELECT * FROM view_quota WHERE project = %s", (project,)
    ).fetchone()
    return VIEW.read(record) if record else None
