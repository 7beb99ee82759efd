"""Who may do what: the one permission table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from domain.values.ids import ProjectId


class Role(StrEnum):
    """What a principal is; cell-wide on a token, or within one project as a member."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"
    AGENT = "agent"


class Permission(StrEnum):
    """Something a route does."""

    READ_JOBS = "read_jobs"  # jobs, their logs and events, usage and cost of a project
    SUBMIT_JOBS = "submit_jobs"
    CONTROL_JOBS = "control_jobs"  # cancel, suspend, resume, requeue, priority
    READ_CLUSTER = "read_cluster"  # queue, pools, nodes, reservations, prices, policy
    OPERATE_NODES = "operate_nodes"  # cordon, drain, uncordon, reserve
    READ_LOG = "read_log"  # every event of the cell
    SET_POLICY = "set_policy"  # scheduler settings and prices
    MANAGE_PROJECTS = "manage_projects"  # create, members, quota
    MANAGE_TOKENS = "manage_tokens"
    REBUILD_VIEWS = "rebuild_views"  # build a read model anew from the log
    MANAGE_QUARANTINE = "manage_quarantine"  # try held-back streams again, discard events
    ACT_AS_NODE = "act_as_node"  # the agent protocol


_VIEW = frozenset({Permission.READ_JOBS, Permission.READ_CLUSTER})
_SUBMIT = _VIEW | {Permission.SUBMIT_JOBS, Permission.CONTROL_JOBS}
_OPERATE = _SUBMIT | {Permission.OPERATE_NODES, Permission.READ_LOG}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEW,
    Role.SUBMITTER: _SUBMIT,
    Role.OPERATOR: _OPERATE,
    Role.ADMIN: frozenset(Permission) - {Permission.ACT_AS_NODE},
    Role.AGENT: frozenset({Permission.ACT_AS_NODE}),
}

PROJECT_ROLES = frozenset({Role.VIEWER, Role.SUBMITTER})
"""Roles a project may give its members."""

_ALL_PROJECTS = frozenset({Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True)
class Principal:
    """Who is calling: a name, cell-wide roles, a role per project; `node` for an agent."""

    name: str
    roles: frozenset[Role] = frozenset()
    projects: Mapping[ProjectId, Role] = field(default_factory=dict)
    node: str | None = None


def allowed(who: Principal, permission: Permission, project: ProjectId | None = None) -> bool:
    """Whether `who` has the permission, in `project` if one is named.

    Operators and admins act in every project; viewers and submitters where they are members.
    Whoever is a member somewhere may read the cluster.
    """
    for role in who.roles:
        if permission in PERMISSIONS[role] and (project is None or role in _ALL_PROJECTS):
            return True
    if project is not None:
        member = who.projects.get(project)
        return member is not None and permission in PERMISSIONS[member]
    return permission is Permission.READ_CLUSTER and bool(who.projects)


def visible_projects(who: Principal) -> frozenset[ProjectId] | None:
    """The projects whose jobs `who` may read; None means all of them."""
    if who.roles & _ALL_PROJECTS:
        return None
    return frozenset(
        project
        for project, role in who.projects.items()
        if Permission.READ_JOBS in PERMISSIONS[role]
    )
