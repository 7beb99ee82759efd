"""Token: whom it may speak for, and its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.access import Role
from domain.errors import Conflict, Invalid
from domain.token import events as e
from domain.token import token as tokens
from domain.token.events import ProjectRole
from domain.values.ids import ProjectId, TokenId
from tests.domain import examples as x
from tests.scenario import Scenario

given = Scenario(tokens.evolve).given
ISSUED = e.Issued(TokenId("token-1"), "a" * 64, "ada", (Role.VIEWER,))
ML = ProjectId("ml")


def test_a_token_is_issued_with_roles_or_project_roles() -> None:
    assert tokens.issue(ISSUED, x.NOW) == [ISSUED]
    member = replace(ISSUED, roles=(), projects=(ProjectRole(ML, Role.SUBMITTER),))
    assert tokens.issue(member, x.NOW) == [member]
    brief = replace(ISSUED, expires_at=x.NOW + 1)
    assert tokens.issue(brief, x.NOW) == [brief]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"roles": ()}, "no_role", "roles"),
        ({"roles": (Role.AGENT, Role.ADMIN)}, "agent_only", "roles"),
        (
            {"roles": (Role.AGENT,), "projects": (ProjectRole(ML, Role.VIEWER),)},
            "agent_only",
            "roles",
        ),
        ({"projects": (ProjectRole(ML, Role.ADMIN),)}, "not_a_project_role", "projects"),
        ({"expires_at": x.NOW}, "expired", "expires_at"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_field(
    change: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        tokens.issue(replace(ISSUED, **change), x.NOW)
    assert (refused.value.code, refused.value.facts["field"]) == (code, field)


def test_a_secret_instead_of_its_digest_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        tokens.issue(replace(ISSUED, digest="secret"), x.NOW)


def test_a_token_is_revoked_once() -> None:
    assert given(ISSUED).when(tokens.revoke, "left").then(e.Revoked("left")).revoked
    given(ISSUED, e.Revoked("left")).when(tokens.revoke, "").refused(Conflict, "already_revoked")
