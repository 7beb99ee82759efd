"""The one way in: a bearer token becomes a principal, and each route declares its permission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from api.cell import Cell
from domain.access import Permission, Principal, allowed, visible_projects
from domain.errors import Denied, NotFound
from domain.values.ids import ProjectId
from domain.values.time import from_datetime
from infra.ids import digest
from infra.moments import Moment
from projections import projects, tokens

scheme = HTTPBearer(auto_error=False, description="A token issued by POST /api/v1/tokens")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="compute"'}


@dataclass(frozen=True)
class Caller:
    """Who calls, on which route, and about which moment."""

    principal: Principal
    permission: Permission
    cell: Cell
    request_id: str
    moment: Moment | None = None
    """What the query is about, where that is not the present."""

    @property
    def at(self) -> int | None:
        """The position to read at; None for the newest."""
        return None if self.moment is None else self.moment.position

    def now(self) -> int:
        """The time of the moment asked about, else store time (microseconds)."""
        return self.cell.store.now() if self.moment is None else self.moment.at

    def within(self, project: str, *, unseen: str = "project") -> None:
        """Go on only if the route's permission holds in the project.

        NotFound if the caller may not know of it, Denied if it may see but not do this.
        """
        inside = ProjectId(project)
        if allowed(self.principal, self.permission, inside):
            return
        if allowed(self.principal, Permission.READ_JOBS, inside):
            raise Denied("denied", f"this needs the permission {self.permission}")
        raise NotFound(f"no_such_{unseen}", f"there is no such {unseen}")

    def visible(self) -> Sequence[str] | None:
        """The projects whose jobs the caller may see; None for all."""
        seen = visible_projects(self.principal)
        return None if seen is None else sorted(seen)


def authenticate(cell: Cell, token: str) -> Principal:
    """The principal a token speaks for; HTTP 401 if it is unknown, expired or revoked."""
    with cell.connection() as connection:
        row = tokens.by_digest(connection, digest(token))
        if row is None or row.revoked_at is not None:
            raise HTTPException(401, "the token is not valid", _CHALLENGE)
        now = from_datetime(datetime.now(UTC))
        if row.issued.expires_at is not None and row.issued.expires_at <= now:
            raise HTTPException(401, "the token has expired", _CHALLENGE)
        members = projects.roles_of(connection, row.principal) if not row.issued.node else {}
    granted = {grant.project: grant.role for grant in row.issued.projects}
    return Principal(
        row.principal, frozenset(row.issued.roles), {**members, **granted}, row.issued.node
    )


@dataclass(frozen=True)
class Requires:
    """A route's declared permission, as its dependency; `tests/api` checks that each has one."""

    permission: Permission
    in_project: bool

    def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)],
        min_position: Annotated[
            int, Query(ge=0, le=2**63 - 1, description="wait until reads show this position")
        ] = 0,
    ) -> Caller:
        cell: Cell = request.app.state.cell
        if credentials is None:
            raise HTTPException(401, "send 'Authorization: Bearer <token>'", _CHALLENGE)
        principal = authenticate(cell, credentials.credentials)
        if not self.in_project and not allowed(principal, self.permission):
            raise Denied("denied", f"this needs the permission {self.permission}")
        if min_position:
            cell.wait_for(min_position)
        return Caller(principal, self.permission, cell, request.state.request_id)


def requires(permission: Permission, *, in_project: bool = False) -> Callable[..., Caller]:
    """Declare a route's permission: for the whole cell, or for a project the route checks."""
    return Requires(permission, in_project)
