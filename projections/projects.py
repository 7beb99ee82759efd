"""Projects: who belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from domain.access import Role
from domain.event import Recorded
from domain.project.events import ProjectEvent
from domain.project.project import Project, evolve
from domain.values.ids import ProjectId
from projections.view import Key, View


@dataclass(frozen=True)
class ProjectRow:
    """A project; `members` are principal to role, `state` is the aggregate."""

    id: str
    members: dict[str, str]
    state: Project
    created_at: int
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, ProjectEvent):
        yield (recorded.stream.partition("/")[2],)


def _fold(row: ProjectRow | None, _key: Key, recorded: Recorded) -> ProjectRow:
    event: Any = recorded.event
    state = evolve(row.state if row else None, event)
    created_at = row.created_at if row else recorded.recorded_at
    members = {principal: role.value for principal, role in state.members}
    return ProjectRow(state.id, members, state, created_at, recorded.position)


VIEW = View(
    name="projects",
    row=ProjectRow,
    key=("id",),
    touches=_touches,
    fold=_fold,
    indexes=("USING gin (members)",),
)

Reader = Connection[dict[str, Any]]


def find(connection: Reader, projects: Sequence[str] | None) -> list[ProjectRow]:
    """Projects by name; None for all of them."""
    records = connection.execute(
        "SELECT * FROM view_projects WHERE %s OR id = ANY(%s) ORDER BY id",
        (projects is None, list(projects or ())),
    ).fetchall()
    return [VIEW.read(record) for record in records]


def roles_of(connection: Reader, principal: str) -> dict[ProjectId, Role]:
    """The principal's role in each project it is a member of."""
    records = connection.execute(
        "SELECT id, members->>%s AS role FROM view_projects WHERE members ? %s",
        (principal, principal),
    ).fetchall()
    return {ProjectId(record["id"]): Role(record["role"]) for record in records}
