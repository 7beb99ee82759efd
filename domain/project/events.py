"""Everything that can have happened to a project."""

from __future__ import annotations

from dataclasses import dataclass

from domain.access import Role
from domain.event import Event
from domain.project.budget import Budget
from domain.values.ids import ProjectId


@dataclass(frozen=True)
class Quota:
    """The most a project may hold at one moment; None is no limit."""

    gpu_milli: int | None = None
    cpu_milli: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Created(Event, name="project.created.v1"):
    project: ProjectId
    description: str = ""


@dataclass(frozen=True)
class MemberSet(Event, name="project.member_set.v1"):
    """The principal has this role in the project."""

    principal: str
    role: Role


@dataclass(frozen=True)
class MemberRemoved(Event, name="project.member_removed.v1"):
    principal: str


@dataclass(frozen=True)
class QuotaSet(Event, name="project.quota_set.v1"):
    quota: Quota


@dataclass(frozen=True)
class BudgetsSet(Event, name="project.budgets_set.v1"):
    """All budgets of the project; those set before hold no more."""

    budgets: tuple[Budget, ...]


@dataclass(frozen=True)
class InheritanceSet(Event, name="project.inheritance_set.v1"):
    """The highest priority that jobs of the project inherit from those that wait for them."""

    max_priority: int


ProjectEvent = Created | MemberSet | MemberRemoved | QuotaSet | BudgetsSet | InheritanceSet
"""Any event on a project's stream."""
