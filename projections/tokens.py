"""Tokens: who a token speaks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection

from domain.event import Recorded
from domain.token.events import Issued, Revoked
from projections.view import Key, View


@dataclass(frozen=True)
class TokenRow:
    """A token by its digest; times in microseconds."""

    id: str
    digest: str
    principal: str
    issued: Issued
    issued_at: int
    revoked_at: int | None
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, Issued | Revoked):
        yield (recorded.stream.partition("/")[2],)


def _fold(row: TokenRow | None, _key: Key, recorded: Recorded) -> TokenRow | None:
    event = recorded.event
    if isinstance(event, Issued):
        return TokenRow(
            id=event.token,
            digest=event.digest,
            principal=event.principal,
            issued=event,
            issued_at=recorded.recorded_at,
            revoked_at=None,
            position=recorded.position,
        )
    assert row is not None, "a token is issued before it is revoked"
    return replace(row, revoked_at=recorded.recorded_at, position=recorded.position)


VIEW = View(
    name="tokens",
    row=TokenRow,
    key=("id",),
    touches=_touches,
    fold=_fold,
    indexes=("USING hash (digest)",),
)

Reader = Connection[dict[str, Any]]


def by_digest(connection: Reader, digest: str) -> TokenRow | None:
    """The token with this SHA-256 (hex), revoked or not."""
    record = connection.execute("SELECT * FROM view_tokens WHERE digest = %s", (digest,)).fetchone()
    return VIEW.read(record) if record else None


def find(connection: Reader) -> list[TokenRow]:
    """Every token, oldest first."""
    records = connection.execute("SELECT * FROM view_tokens ORDER BY issued_at, id").fetchall()
    return [VIEW.read(record) for record in records]
