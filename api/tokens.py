"""Tokens: issue, list, revoke; and who one is."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt

from api.auth import Caller, requires
from api.body import Body, Name
from api.command import Command, Key
from api.jobs import IdempotencyKey
from api.moment import asks
from api.strict import StrictRoute
from domain.access import PERMISSIONS, Permission, Role
from domain.errors import Invalid, NotFound
from domain.event import Event
from domain.token import token as tokens
from domain.token.events import Issued, ProjectRole
from domain.token.token import Token
from domain.values.ids import ProjectId, TokenId, check_name
from domain.values.time import SECOND, to_text
from infra.ids import digest, fresh, fresh_token
from infra.store import Change, stream_of
from projections import tokens as token_view

router = APIRouter(route_class=StrictRoute, tags=["access"])
Manager = Annotated[Caller, Depends(requires(Permission.MANAGE_TOKENS))]
Lister = Annotated[Caller, Depends(asks(Permission.MANAGE_TOKENS))]
Somebody = Annotated[Caller, Depends(requires(Permission.READ_CLUSTER))]


class NewToken(Body):
    """Whom the token speaks for; `node` binds an agent's token to one node."""

    principal: Name
    roles: Annotated[list[Role], Field(max_length=5)] = []
    projects: dict[Name, Role] = {}
    expires_in_seconds: Annotated[StrictInt, Field(ge=1, le=10 * 366 * 86_400)] | None = None
    node: Name | None = None


class TokenIssued(BaseModel):
    """The token itself is shown this once."""

    id: str
    token: str
    principal: str
    position: int


class TokenAnswer(BaseModel):
    id: str
    principal: str
    roles: list[str]
    projects: dict[str, str]
    node: str | None
    issued_at: str
    expires_at: str | None
    revoked_at: str | None


class TokenList(BaseModel):
    items: list[TokenAnswer]


class TokenRevoked(BaseModel):
    id: str
    position: int


class WhoAmI(BaseModel):
    principal: str
    roles: list[str]
    projects: dict[str, str]
    permissions: list[str]


@router.post("/tokens", status_code=201, response_model=TokenIssued)
def issue(body: NewToken, caller: Manager, key: IdempotencyKey) -> Response:
    """Issue a token. It cannot be shown again, so an Idempotency-Key is refused."""
    if key.text:
        detail = "a token is shown once: leave the key out"
        raise Invalid("no_key_here", detail, field="idempotency-key")
    command = Command(caller, Key("", ""), None, 201)
    now = command.store.now()
    token, secret = TokenId(fresh("token", now)), fresh_token()
    life = body.expires_in_seconds
    issued = Issued(
        token=token,
        digest=digest(secret),
        principal=check_name("principal", body.principal),
        roles=tuple(dict.fromkeys(body.roles)),
        projects=tuple(
            ProjectRole(ProjectId(p), role) for p, role in sorted(body.projects.items())
        ),
        expires_at=None if life is None else now + life * SECOND,
        node=body.node,
    )
    recorded = command.store.append(
        [Change(stream_of("token", token), 0, tokens.issue(issued, now), command.meta)]
    )
    caller.cell.wait_for(recorded[-1].position)  # it works at once
    content = {"id": token, "token": secret, "principal": issued.principal}
    position = recorded[-1].position
    return Response(
        json.dumps({**content, "position": position}),
        201,
        {"Log-Position": str(position), "Cache-Control": "no-store"},
        "application/json",
    )


@router.get("/tokens", response_model=TokenList)
def find(caller: Lister) -> TokenList:
    """Every token, without its secret."""
    with caller.cell.connection() as connection:
        rows = token_view.find(connection, caller.at)
    return TokenList(
        items=[
            TokenAnswer(
                id=row.id,
                principal=row.principal,
                roles=[role.value for role in row.issued.roles],
                projects={grant.project: grant.role.value for grant in row.issued.projects},
                node=row.issued.node,
                issued_at=to_text(row.issued_at),
                expires_at=None if (at := row.issued.expires_at) is None else to_text(at),
                revoked_at=None if row.revoked_at is None else to_text(row.revoked_at),
            )
            for row in rows
        ]
    )


@router.delete("/tokens/{token}", status_code=202, response_model=TokenRevoked)
def revoke(token: str, caller: Manager, key: IdempotencyKey) -> Response:
    """End a token at once."""

    def run(state: Token | None) -> list[Event]:
        if state is None:
            raise NotFound("no_such_token", "there is no such token")
        return list(tokens.revoke(state, f"by {caller.principal.name}"))

    command = Command(caller, key, None, 202)
    response = command.execute(
        stream_of("token", token), tokens.evolve, None, run, lambda _: {"id": token}
    )
    caller.cell.wait_for(command.position)
    return response


@router.get("/whoami", response_model=WhoAmI)
def who_am_i(caller: Somebody) -> WhoAmI:
    """Who the token speaks for and what it may do."""
    who = caller.principal
    may = {p for role in [*who.roles, *who.projects.values()] for p in PERMISSIONS[role]}
    return WhoAmI(
        principal=who.name,
        roles=sorted(role.value for role in who.roles),
        projects={project: role.value for project, role in sorted(who.projects.items())},
        permissions=sorted(permission.value for permission in may),
    )
