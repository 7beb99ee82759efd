"""Access: the permission table, and what a principal may do where."""

from __future__ import annotations

from itertools import pairwise

import pytest

from domain.access import PERMISSIONS, Permission, Principal, Role, allowed, visible_projects
from domain.values.ids import ProjectId

ML, WEB = ProjectId("ml"), ProjectId("web")
ADMIN = Principal("root", frozenset({Role.ADMIN}))
OPERATOR = Principal("ops", frozenset({Role.OPERATOR}))
MEMBER = Principal("ada", projects={ML: Role.SUBMITTER, WEB: Role.VIEWER})
CELL_VIEWER = Principal("eve", frozenset({Role.VIEWER}))
AGENT = Principal("agent", frozenset({Role.AGENT}), node="node-0")


def test_only_an_agent_acts_as_a_node_and_does_nothing_else() -> None:
    holders = {role for role, granted in PERMISSIONS.items() if Permission.ACT_AS_NODE in granted}
    assert holders == {Role.AGENT}
    assert PERMISSIONS[Role.AGENT] == {Permission.ACT_AS_NODE}


def test_roles_grow_from_viewer_to_admin() -> None:
    ladder = [PERMISSIONS[r] for r in (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)]
    assert all(low < high for low, high in pairwise(ladder))
    assert PERMISSIONS[Role.ADMIN] | PERMISSIONS[Role.AGENT] == set(Permission)


@pytest.mark.parametrize(
    ("who", "permission", "project", "answer"),
    [
        (ADMIN, Permission.SET_POLICY, None, True),
        (ADMIN, Permission.SUBMIT_JOBS, ML, True),
        (OPERATOR, Permission.SUBMIT_JOBS, ML, True),
        (OPERATOR, Permission.SET_POLICY, None, False),
        (MEMBER, Permission.SUBMIT_JOBS, ML, True),
        (MEMBER, Permission.SUBMIT_JOBS, WEB, False),
        (MEMBER, Permission.READ_JOBS, WEB, True),
        (MEMBER, Permission.READ_JOBS, ProjectId("other"), False),
        (MEMBER, Permission.READ_JOBS, None, False),
        (MEMBER, Permission.READ_CLUSTER, None, True),  # a member somewhere sees the cluster
        (MEMBER, Permission.READ_LOG, None, False),
        (CELL_VIEWER, Permission.READ_CLUSTER, None, True),
        (CELL_VIEWER, Permission.READ_JOBS, ML, False),  # cell-wide, but no member of it
        (AGENT, Permission.ACT_AS_NODE, None, True),
        (AGENT, Permission.READ_CLUSTER, None, False),
        (Principal("nobody"), Permission.READ_CLUSTER, None, False),
    ],
)
def test_who_may_do_what_where(
    who: Principal, permission: Permission, project: ProjectId | None, answer: bool
) -> None:
    assert allowed(who, permission, project) is answer


def test_which_projects_jobs_are_seen() -> None:
    assert visible_projects(ADMIN) is None
    assert visible_projects(OPERATOR) is None
    assert visible_projects(MEMBER) == frozenset({ML, WEB})
    assert visible_projects(CELL_VIEWER) == frozenset()
    assert visible_projects(AGENT) == frozenset()
