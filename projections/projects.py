"""Projects: who belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from domain.access import Role
from domain.event import Recorded
from domain.project.events import ProjectEvent
from domain.project.project import Project, evolve
from domain.values.ids import ProjectId
from projections.view import Key, Reader, Row, View, kinds


class ProjectRow(Row, frozen=True, kw_only=True):
    """A project; `members` are principal to role, `state` is the aggregate."""

    id: str
    members: dict[str, str]
    state: Project
    created_at: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if not isinstance(recorded.event, ProjectEvent):
        return []
    return [(recorded.stream.partition("/")[2],)]


def _fold(row: ProjectRow | None, _key: Key, recorded: Recorded) -> ProjectRow:
    event: Any = recorded.event
    state = evolve(row.state if row else None, event)
    created_at = row.created_at if row else recorded.recorded_at
    members = {principal: role.value for principal, role in state.members}
    return ProjectRow(
        position=recorded.position,
        id=state.id,
        members=members,
        state=state,
        created_at=created_at,
    )


VIEW = View(
    name="projects",
    row=ProjectRow,
    key=("id",),
    on=kinds(ProjectEvent),
    touches=_touches,
    fold=_fold,
    indexes=("USING gin (members)",),
)


def find(
    connection: Reader, projects: Sequence[str] | None, at: int | None = None
) -> list[ProjectRow]:
    """Projects by name; None for all of them."""
    records = connection.execute(
        f"SELECT * FROM {VIEW.at(at)} v WHERE %s OR id = ANY(%s) ORDER BY id".encode(),
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
