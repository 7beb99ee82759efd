"""The project aggregate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from domain.access import PROJECT_ROLES, Role
from domain.errors import Conflict, Invalid
from domain.project import events as e
from domain.project.budget import Budget, check_budgets
from domain.project.events import ProjectEvent, Quota
from domain.values.checks import between
from domain.values.ids import ProjectId
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import LARGEST


@dataclass(frozen=True)
class Project:
    """A project as its events left it; `members` are (principal, role)."""

    id: ProjectId
    description: str
    members: tuple[tuple[str, Role], ...] = ()
    quota: Quota = Quota()
    budgets: tuple[Budget, ...] = ()
    max_inherited_priority: int = 0


def evolve(project: Project | None, event: ProjectEvent) -> Project:
    """The project after the event."""
    if isinstance(event, e.Created):
        return Project(event.project, event.description)
    assert project is not None, "a project's first event is project.created"
    match event:
        case e.MemberSet(principal=principal, role=role):
            others = tuple(m for m in project.members if m[0] != principal)
            return replace(project, members=(*others, (principal, role)))
        case e.MemberRemoved(principal=principal):
            return replace(project, members=tuple(m for m in project.members if m[0] != principal))
        case e.QuotaSet(quota=quota):
            return replace(project, quota=quota)
        case e.BudgetsSet(budgets=budgets):
            return replace(project, budgets=budgets)
        case e.InheritanceSet(max_priority=most):
            return replace(project, max_inherited_priority=most)
        case _:
            assert_never(event)


def create(existing: Project | None, project: ProjectId, description: str) -> list[ProjectEvent]:
    """Begin a project."""
    if existing is not None:
        raise Conflict("project_exists", f"project {project} exists already")
    return [e.Created(project, description)]


def set_member(project: Project, principal: str, role: Role) -> list[ProjectEvent]:
    """Give a principal a role in the project, or change it."""
    if role not in PROJECT_ROLES:
        raise Invalid(
            "not_a_project_role",
            f"role: one of {', '.join(sorted(PROJECT_ROLES))}",
            field="role",
        )
    return [] if (principal, role) in project.members else [e.MemberSet(principal, role)]


def remove_member(project: Project, principal: str) -> list[ProjectEvent]:
    """Take a principal's role in the project away."""
    if principal not in dict(project.members):
        raise Conflict("not_a_member", f"{principal} is not a member of {project.id}")
    return [e.MemberRemoved(principal)]


def set_quota(project: Project, quota: Quota) -> list[ProjectEvent]:
    """Limit what the project may hold at one moment."""
    for field, value in vars(quota).items():
        if value is not None:
            between(f"quota.{field}", value, 0, LARGEST)
    return [] if quota == project.quota else [e.QuotaSet(quota)]


def set_budgets(project: Project, budgets: tuple[Budget, ...]) -> list[ProjectEvent]:
    """Limit what the project and its users may use within windows of time."""
    check_budgets(budgets)
    return [] if budgets == project.budgets else [e.BudgetsSet(budgets)]


def set_inheritance(project: Project, max_priority: int) -> list[ProjectEvent]:
    """Limit the priority that jobs inherit from those that wait for them; 0 is none."""
    between("max_priority", max_priority, 0, MAX_PRIORITY)
    known = max_priority == project.max_inherited_priority
    return [] if known else [e.InheritanceSet(max_priority)]
