"""Tokens: who a token speaks for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from domain.event import Recorded
from domain.token.events import Issued, Revoked
from projections.view import Key, Reader, Row, View, kinds


class TokenRow(Row, frozen=True, kw_only=True):
    """A token by its digest; times in microseconds."""

    id: str
    digest: str
    principal: str
    issued: Issued
    issued_at: int
    revoked_at: int | None


def _touches(recorded: Recorded) -> Iterable[Key]:
    if not isinstance(recorded.event, Issued | Revoked):
        return []
    return [(recorded.stream.partition("/")[2],)]


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
    on=kinds(Issued, Revoked),
    begins=kinds(Issued),
    touches=_touches,
    fold=_fold,
    indexes=("USING hash (digest)",),
)


def by_digest(connection: Reader, digest: str) -> TokenRow | None:
    """The token with this SHA-256 (hex), revoked or not."""
    record = connection.execute("SELECT * FROM view_tokens WHERE digest = %s", (digest,)).fetchone()
    return VIEW.read(record) if record else None


def find(connection: Reader, at: int | None = None) -> list[TokenRow]:
    """Every token, oldest first."""
    records = connection.execute(
        f"SELECT * FROM {VIEW.at(at)} v ORDER BY issued_at, id".encode()
    ).fetchall()
    return [VIEW.read(record) for record in records]
