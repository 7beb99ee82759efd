"""The audit: signed heads of the log's Merkle tree, exports and proofs. docs/audit-log.md."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.log import Auditor
from api.strict import StrictRoute
from infra import tree
from infra.heads import Head

router = APIRouter(route_class=StrictRoute, tags=["audit"])
LINES = "application/x-ndjson"


class SignedHead(BaseModel):
    """The tree of the first `size` events; times in microseconds since the epoch, hashes in hex."""

    cell: str
    tree: str
    size: int
    root: str
    position: int
    time: int
    key: str
    next_key: str
    signature: str


class LatestHead(BaseModel):
    """The newest signed head, null if nothing is signed; `unsigned_after` is its position."""

    head: SignedHead | None
    unsigned_after: int


class Inclusion(BaseModel):
    """That the tree of `head` holds `envelope` as its leaf `index`, by RFC 9162 section 2.1.3."""

    envelope: str
    index: int
    path: list[str]
    head: SignedHead


def _shown(head: Head) -> SignedHead:
    return SignedHead(**vars(head))


@router.get("/audit/head", response_model=LatestHead)
def latest_head(caller: Auditor) -> LatestHead:
    """The newest signed head of the log's Merkle tree."""
    with caller.cell.connection() as connection:
        head = tree.newest(connection)
    if head is None:
        return LatestHead(head=None, unsigned_after=0)
    return LatestHead(head=_shown(head), unsigned_after=head.position)


@router.get("/audit/proof/{position}", response_model=Inclusion)
def inclusion_proof(position: Annotated[int, Path(ge=1, lt=2**63)], caller: Auditor) -> Inclusion:
    """That the event at a position is in the signed tree, as it was recorded."""
    with caller.cell.connection() as connection:
        found = tree.prove(connection, position)
    return Inclusion(
        envelope=found.entry.decode(),
        index=found.index,
        path=[step.hex() for step in found.path],
        head=_shown(found.head),
    )


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {LINES: {"schema": {"type": "string"}}}}},
)
def export_log(caller: Auditor) -> StreamingResponse:
    """All of the log that is signed, with its heads, one JSON document a line."""

    def lines() -> Iterator[bytes]:
        with caller.cell.connection() as connection:
            batch: list[bytes] = []
            for line in tree.export(connection):
                batch.append(line)
                if len(batch) == tree.BATCH:
                    yield b"".join(batch)
                    batch.clear()
            yield b"".join(batch)

    found = lines()
    first = next(found)  # what is refused is refused before the answer begins
    return StreamingResponse(chain([first], found), media_type=LINES)
