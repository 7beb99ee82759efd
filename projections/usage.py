"""Usage: the allocation intervals, and sums over them. Cost and fair share fold the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from domain.allocation.events import Granted, Released, Terms
from domain.event import Recorded
from projections.view import Key, Reader, Row, View, kinds


class IntervalRow(Row, frozen=True, kw_only=True):
    """What an attempt held, from grant to release (microseconds; None while it lasts).

    On `terms` it counts until their end at most, and costs what they say.
    """

    allocation: str
    job: str
    attempt: int
    project: str
    user: str
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int
    gpu_model: str
    began: int
    ended: int | None
    terms: Terms | None = None


def _touches(recorded: Recorded) -> Iterable[Key]:
    event = recorded.event
    return [(event.allocation,)] if isinstance(event, Granted | Released) else []


def _fold(row: IntervalRow | None, _key: Key, recorded: Recorded) -> IntervalRow | None:
    event = recorded.event
    if isinstance(event, Granted):
        total = event.per_seat * len(event.seats)
        return IntervalRow(
            allocation=event.allocation,
            job=event.job,
            attempt=event.attempt,
            project=recorded.meta.project or "",
            user=event.user,
            cpu_milli=total.cpu_milli,
            memory_bytes=total.memory_bytes,
            gpu_milli=total.gpu_milli,
            gpu_model=event.gpu_model,
            began=recorded.recorded_at,
            ended=None,
            terms=event.terms,
            position=recorded.position,
        )
    assert row is not None, "an allocation is granted before it is released"
    return replace(row, ended=recorded.recorded_at, position=recorded.position)


VIEW = View(
    name="intervals",
    row=IntervalRow,
    key=("allocation",),
    on=kinds(Granted, Released),
    begins=kinds(Granted),
    touches=_touches,
    fold=_fold,
    over=lambda row: row.ended is not None,
    indexes=("(project, began)", "(job)", "(ended)"),
)


class GroupBy(StrEnum):
    """What to sum by."""

    PROJECT = "project"
    USER = "user"
    JOB = "job"


@dataclass(frozen=True)
class Window:
    """Which intervals, cut to since..until (microseconds). `projects` None means all."""

    projects: Sequence[str] | None
    since: int
    until: int
    job: str | None = None

    def arguments(self) -> dict[str, Any]:
        """For the SQL of `CUT`."""
        return {
            "all": self.projects is None,
            "projects": list(self.projects or ()),
            "since": self.since,
            "until": self.until,
            "job": self.job,
        }


def cut(at: int | None) -> str:
    """The intervals of a Window with their part inside it, as known at a position."""
    return f"""
    SELECT *, greatest(began, %(since)s) AS cut_began,
           least(ended, (terms->>'until')::bigint, %(until)s) AS cut_ended
    FROM {VIEW.at(at)} v
    WHERE began < %(until)s AND (ended IS NULL OR ended > %(since)s)
      AND (terms IS NULL OR (terms->>'until')::bigint > greatest(began, %(since)s))
      AND (%(all)s OR project = ANY(%(projects)s))
      AND (%(job)s::text IS NULL OR job = %(job)s)
"""


@dataclass(frozen=True)
class Usage:
    """Sums in amount times microseconds, as exact integers."""

    key: str
    cpu_milli_us: int
    memory_byte_us: int
    gpu_milli_us: int
    jobs: int


def sums(
    connection: Reader, window: Window, group_by: GroupBy, at: int | None = None
) -> list[Usage]:
    """What was held in the window, by project, user or job."""
    records = connection.execute(
        f'SELECT "{group_by.value}" AS key,'
        " sum(cpu_milli::numeric * (cut_ended - cut_began)) AS cpu,"
        " sum(memory_bytes::numeric * (cut_ended - cut_began)) AS memory,"
        " sum(gpu_milli::numeric * (cut_ended - cut_began)) AS gpu,"
        f" count(DISTINCT job) AS jobs FROM ({cut(at)}) cut GROUP BY 1 ORDER BY 1".encode(),
        window.arguments(),
    ).fetchall()
    return [
        Usage(r["key"], int(r["cpu"]), int(r["memory"]), int(r["gpu"]), r["jobs"]) for r in records
    ]
