"""Everything that can have happened to a token."""

from __future__ import annotations

from dataclasses import dataclass

from domain.access import Role
from domain.event import Event
from domain.values.ids import ProjectId, TokenId


@dataclass(frozen=True)
class ProjectRole:
    """A role the token carries in one project."""

    project: ProjectId
    role: Role


@dataclass(frozen=True)
class Issued(Event, name="token.issued.v1"):
    """A token for `principal` whose SHA-256 is `digest` (hex); `expires_at` microseconds or None.

    `node` binds an agent's token to one node name; None leaves it free.
    """

    token: TokenId
    digest: str
    principal: str
    roles: tuple[Role, ...]
    projects: tuple[ProjectRole, ...] = ()
    expires_at: int | None = None
    node: str | None = None


@dataclass(frozen=True)
class Revoked(Event, name="token.revoked.v1"):
    reason: str


TokenEvent = Issued | Revoked
"""Any event on a token's stream."""
