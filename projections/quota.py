"""Quota: what each project may hold and what it holds."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from domain.allocation.events import Granted, Released
from domain.event import Recorded
from domain.project.events import Created, Quota, QuotaSet
from domain.values.resources import NOTHING, Resources
from projections.view import Key, Reader, Row, View, kinds


class QuotaRow(Row, frozen=True, kw_only=True):
    """A project's limits and what its allocations hold now."""

    project: str
    quota: Quota
    used: Resources


def _touches(recorded: Recorded) -> Iterable[Key]:
    match recorded.event:
        case Created(project=project):
            return [(project,)]
        case QuotaSet():
            return [(recorded.stream.partition("/")[2],)]
        case Granted() | Released():
            return [(recorded.meta.project or "",)]
    return []


def _fold(row: QuotaRow | None, key: Key, recorded: Recorded) -> QuotaRow:
    row = row or QuotaRow(position=0, project=str(key[0]), quota=Quota(), used=NOTHING)
    quota, used = row.quota, row.used
    match recorded.event:
        case QuotaSet(quota=quota):
            pass
        case Granted(seats=seats, per_seat=per_seat):
            used += per_seat * len(seats)
        case Released(seats=seats, per_seat=per_seat):
            used -= per_seat * len(seats)
    return replace(row, quota=quota, used=used, position=recorded.position)


VIEW = View(
    name="quota",
    row=QuotaRow,
    key=("project",),
    on=kinds(Created, QuotaSet, Granted, Released),
    touches=_touches,
    fold=_fold,
)


def get(connection: Reader, project: str, at: int | None = None) -> QuotaRow | None:
    """A project's limits and use."""
    record = connection.execute(
        f"SELECT * FROM {VIEW.at(at)} v WHERE project = %s".encode(), (project,)
    ).fetchone()
    return VIEW.read(record) if record else None
