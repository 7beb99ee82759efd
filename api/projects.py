"""Projects: members and quota."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt, StrictStr

from api import shapes
from api.auth import Caller, requires
from api.body import Body, Name, Number, Quantity
from api.command import Command
from api.jobs import IdempotencyKey
from api.jobs import Reader as MemberReader
from api.strict import StrictRoute
from domain.access import Permission, Role
from domain.errors import NotFound
from domain.event import Event
from domain.project import project as projects
from domain.project.events import Quota
from domain.project.project import Project
from domain.values.ids import ProjectId, check_name
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import gibibytes, milli
from domain.values.resources import NOTHING
from infra.store import stream_of
from projections import projects as project_view
from projections import quota as quota_view
from projections.projects import ProjectRow

router = APIRouter(route_class=StrictRoute, tags=["projects"])
Manager = Annotated[Caller, Depends(requires(Permission.MANAGE_PROJECTS))]


class NewProject(Body):
    id: Name
    description: Annotated[StrictStr, Field(max_length=500)] = ""


class MemberBody(Body):
    role: Role


class QuotaBody(Body):
    """The most the project may hold at one moment; null is no limit."""

    gpu: Annotated[StrictInt, Field(ge=0, le=10**9)] | None = None
    cpu: Quantity | None = None
    memory_gb: Number | None = None

    def value(self) -> Quota:
        """The quota in integers."""
        return Quota(
            gpu_milli=None if self.gpu is None else self.gpu * 1000,
            cpu_milli=None if self.cpu is None else milli("cpu", self.cpu),
            memory_bytes=None if self.memory_gb is None else gibibytes("memory_gb", self.memory_gb),
        )


class InheritanceBody(Body):
    """The highest priority that jobs inherit from those that wait for them; 0 is none."""

    max_priority: Annotated[StrictInt, Field(ge=0, le=MAX_PRIORITY)]


class QuotaAnswer(BaseModel):
    gpu: int | None
    cpu_milli: int | None
    memory_bytes: int | None


class ProjectAnswer(BaseModel):
    id: str
    description: str
    members: dict[str, str]
    quota: QuotaAnswer
    used: shapes.Amount
    max_inherited_priority: int


class ProjectList(BaseModel):
    items: list[ProjectAnswer]


class Changed(BaseModel):
    id: str
    position: int


def _answer(caller: Caller, rows: list[ProjectRow]) -> list[ProjectAnswer]:
    with caller.cell.connection() as connection:
        used = {row.id: quota_view.get(connection, row.id, caller.at) for row in rows}
    answers = []
    for row in rows:
        held, limits = used[row.id], row.state.quota
        gpu = None if limits.gpu_milli is None else limits.gpu_milli // 1000
        answers.append(
            ProjectAnswer(
                id=row.id,
                description=row.state.description,
                members=row.members,
                quota=QuotaAnswer(
                    gpu=gpu, cpu_milli=limits.cpu_milli, memory_bytes=limits.memory_bytes
                ),
                used=shapes.amount(held.used if held else NOTHING),
                max_inherited_priority=row.state.max_inherited_priority,
            )
        )
    return answers


@router.get("/projects", response_model=ProjectList)
def find(caller: MemberReader) -> ProjectList:
    """The projects the caller may see."""
    with caller.cell.connection() as connection:
        rows = project_view.find(connection, caller.visible(), caller.at)
    return ProjectList(items=_answer(caller, rows))


@router.get("/projects/{project}", response_model=ProjectAnswer)
def get(project: str, caller: MemberReader) -> ProjectAnswer:
    """One project."""
    caller.within(project)
    with caller.cell.connection() as connection:
        rows = project_view.find(connection, [project], caller.at)
    if not rows:
        raise NotFound("no_such_project", "there is no such project")
    return _answer(caller, rows)[0]


@router.post("/projects", status_code=201, response_model=Changed)
def create(body: NewProject, caller: Manager, key: IdempotencyKey) -> Response:
    """Begin a project."""
    project = ProjectId(check_name("id", body.id))
    command = Command(caller, key, project, 201)
    return command.execute(
        stream_of("project", project),
        projects.evolve,
        None,
        lambda state: projects.create(state, project, body.description),
        lambda _: {"id": project},
    )


@router.put("/projects/{project}/members/{principal}", status_code=202, response_model=Changed)
def set_member(
    project: str, principal: str, body: MemberBody, caller: Manager, key: IdempotencyKey
) -> Response:
    """Give a principal a role in the project."""
    who = check_name("principal", principal)
    return change(
        Command(caller, key, project, 202),
        lambda state: projects.set_member(state, who, body.role),
    )


@router.delete("/projects/{project}/members/{principal}", status_code=202, response_model=Changed)
def remove_member(project: str, principal: str, caller: Manager, key: IdempotencyKey) -> Response:
    """Take a principal's role in the project away."""
    return change(
        Command(caller, key, project, 202),
        lambda state: projects.remove_member(state, principal),
    )


@router.put("/projects/{project}/quota", status_code=202, response_model=Changed)
def set_quota(project: str, body: QuotaBody, caller: Manager, key: IdempotencyKey) -> Response:
    """Limit what the project may hold at one moment."""
    return change(
        Command(caller, key, project, 202),
        lambda state: projects.set_quota(state, body.value()),
    )


@router.put("/projects/{project}/inheritance", status_code=202, response_model=Changed)
def set_inheritance(
    project: str, body: InheritanceBody, caller: Manager, key: IdempotencyKey
) -> Response:
    """Let jobs stand in the queue for those of the project that wait for them, up to a priority."""
    return change(
        Command(caller, key, project, 202),
        lambda state: projects.set_inheritance(state, body.max_priority),
    )


def change(command: Command, decide: Callable[[Project], Sequence[Event]]) -> Response:
    """Run a command on its project and wait until reads show it."""
    project = command.project
    assert project is not None

    def run(state: Project | None) -> Sequence[Event]:
        if state is None:
            raise NotFound("no_such_project", "there is no such project")
        return decide(state)

    response = command.execute(
        stream_of("project", project), projects.evolve, None, run, lambda _: {"id": project}
    )
    command.caller.cell.wait_for(command.position)  # a membership holds, or ends, at once
    return response
