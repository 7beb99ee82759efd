"""The token aggregate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from domain.access import PROJECT_ROLES, Role
from domain.errors import Conflict, Invalid
from domain.token import events as e
from domain.token.events import TokenEvent


@dataclass(frozen=True)
class Token:
    """A token as its events left it."""

    issued: e.Issued
    revoked: bool = False


def evolve(token: Token | None, event: TokenEvent) -> Token:
    """The token after the event."""
    if isinstance(event, e.Issued):
        return Token(event)
    assert token is not None, "a token's first event is token.issued"
    match event:
        case e.Revoked():
            return replace(token, revoked=True)
        case _:
            assert_never(event)


def issue(issued: e.Issued, now: int) -> list[TokenEvent]:
    """Let whoever holds the token act as its principal."""
    if len(issued.digest) != 64:
        raise ValueError("a token is recorded by its SHA-256 in hex")
    if not issued.roles and not issued.projects:
        raise Invalid("no_role", "roles: give the token a role or a project role", field="roles")
    if Role.AGENT in issued.roles and (len(issued.roles) > 1 or issued.projects):
        raise Invalid("agent_only", "roles: an agent's token has no other role", field="roles")
    if any(grant.role not in PROJECT_ROLES for grant in issued.projects):
        names = ", ".join(sorted(PROJECT_ROLES))
        raise Invalid("not_a_project_role", f"projects: role is one of {names}", field="projects")
    if issued.expires_at is not None and issued.expires_at <= now:
        raise Invalid("expired", "expires_at: must lie in the future", field="expires_at")
    return [issued]


def revoke(token: Token, reason: str) -> list[TokenEvent]:
    """End the token at once."""
    if token.revoked:
        raise Conflict("already_revoked", "the token is revoked already")
    return [e.Revoked(reason)]
