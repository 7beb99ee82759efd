"""Project: members, roles and quota."""

from __future__ import annotations

import pytest

from domain.access import Role
from domain.errors import Conflict, Invalid
from domain.project import events as e
from domain.project import project as projects
from domain.project.events import Quota
from domain.values.ids import ProjectId
from tests.scenario import Scenario

given = Scenario(projects.evolve).given
ML = ProjectId("ml")
CREATED = e.Created(ML, "models")
ADA = e.MemberSet("ada", Role.VIEWER)


def test_a_project_is_created_once() -> None:
    given().when(projects.create, ML, "models").then(CREATED)
    given(CREATED).when(projects.create, ML, "").refused(Conflict, "project_exists")


def test_a_member_has_one_role_and_keeps_it_until_it_is_changed() -> None:
    submitter = e.MemberSet("ada", Role.SUBMITTER)
    given(CREATED).when(projects.set_member, "ada", Role.VIEWER).then(ADA)
    given(CREATED, ADA).when(projects.set_member, "ada", Role.VIEWER).then()
    after = given(CREATED, ADA).when(projects.set_member, "ada", Role.SUBMITTER).then(submitter)
    assert after.members == (("ada", Role.SUBMITTER),)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN, Role.AGENT])
def test_a_project_gives_no_cell_wide_role(role: Role) -> None:
    given(CREATED).when(projects.set_member, "ada", role).refused(
        Invalid, "not_a_project_role", field="role"
    )


def test_only_a_member_is_removed() -> None:
    after = given(CREATED, ADA).when(projects.remove_member, "ada").then(e.MemberRemoved("ada"))
    assert after.members == ()
    given(CREATED).when(projects.remove_member, "ada").refused(Conflict, "not_a_member")


def test_a_quota_is_recorded_when_it_differs() -> None:
    quota = Quota(gpu_milli=4000)
    assert given(CREATED).when(projects.set_quota, quota).then(e.QuotaSet(quota)).quota == quota
    given(CREATED, e.QuotaSet(quota)).when(projects.set_quota, quota).then()
    given(CREATED).when(projects.set_quota, Quota()).then()


@pytest.mark.parametrize("field", ["gpu_milli", "cpu_milli", "memory_bytes"])
@pytest.mark.parametrize("value", [-1, 2**63])
def test_a_quota_out_of_range_is_refused_by_name(field: str, value: int) -> None:
    given(CREATED).when(projects.set_quota, Quota(**{field: value})).refused(
        Invalid, "out_of_range", field=f"quota.{field}"
    )
