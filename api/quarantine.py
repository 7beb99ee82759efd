"""Quarantine: streams that consumers of the log hold back; trying again; passing over events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt, StrictStr

from api.auth import Caller, requires
from api.body import Body
from api.cell import Connection
from api.command import Command, answer
from api.jobs import IdempotencyKey
from api.log import Auditor
from api.strict import StrictRoute
from domain.access import Permission
from domain.consumer import consumer as consumers
from domain.consumer.consumer import MAX_REASON, Consumer, stream_of_consumer
from domain.consumer.events import EventDiscarded
from domain.errors import Conflict, NotFound
from domain.event import StreamId
from infra import quarantine
from infra.quarantine import Held
from infra.store import Change
from projections import rebuilds

router = APIRouter(route_class=StrictRoute, tags=["quarantine"])
Keeper = Annotated[Caller, Depends(requires(Permission.MANAGE_QUARANTINE))]
RETRIES_BY_ITSELF = "timers"
"""It reads whole streams, with every tick."""

ConsumerName = Annotated[StrictStr, Field(min_length=1, max_length=63)]


class RetryBody(Body):
    """Whom to have try again: one consumer, or every one that holds something back."""

    consumer: ConsumerName | None = None


class DiscardBody(Body):
    """The event to pass over, as the list names it; by one consumer, or all it holds up."""

    stream: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    position: Annotated[StrictInt, Field(ge=1, lt=2**63)]
    reason: Annotated[StrictStr, Field(min_length=1, max_length=MAX_REASON)]
    consumer: ConsumerName | None = None


class HeldStream(BaseModel):
    """A stream a consumer holds back since the event at `position`.

    `held` counts the stream's events from that one on. `stops` says that the consumer stands still
    altogether, `retry` that it was asked to try again.
    """

    consumer: str
    stream: str
    position: int
    version: int
    event: str
    error: str
    stops: bool
    retry: bool
    since: datetime
    held: int


class Quarantine(BaseModel):
    items: list[HeldStream]


class Retried(BaseModel):
    """Who tries again; read models are built anew beside those in use (`GET /views`)."""

    consumers: list[str]
    position: int


@router.get("/quarantine", response_model=Quarantine)
def quarantined(caller: Auditor) -> Quarantine:
    """Every stream that is held back, by whom, since which event, and why."""
    with caller.cell.connection() as connection:
        found = quarantine.find(connection)
    return Quarantine(items=[HeldStream(event=held.name, **_facts(held)) for held in found])


def _facts(held: Held) -> dict[str, object]:
    return {name: value for name, value in vars(held).items() if name != "name"}


@router.post("/quarantine/retry", status_code=202, response_model=Retried)
def retry(body: RetryBody, caller: Keeper) -> Response:
    """Have consumers take up what they hold back, each stream from its bad event on, in order."""
    caller.cell.space.check()
    with caller.cell.connection() as connection:
        names = sorted({held.consumer for held in _of(quarantine.find(connection), body.consumer)})
        _try_again(connection, names, caller)
    return answer({"consumers": names}, 202, caller.cell.store.head())


@router.post("/quarantine/discard", status_code=202, response_model=Retried)
def discard(body: DiscardBody, caller: Keeper, key: IdempotencyKey) -> Response:
    """Have consumers pass over an event for ever and go on with its stream; it is recorded who did.

    What the event said is then missing there: later events may not be taken without it either.
    """
    command = Command(caller, key, None, 202)
    with caller.cell.connection() as connection:
        found = _wanted(connection, body)
    names = [held.consumer for held in found]
    changes = [_change(command, held, body.reason) for held in found]
    response = command.append(changes, {"consumers": names})
    with caller.cell.connection() as connection:
        _try_again(connection, names, caller)
    return response


def _wanted(connection: Connection, body: DiscardBody) -> Sequence[Held]:
    found = [
        held
        for held in _of(quarantine.find(connection), body.consumer)
        if (held.stream, held.position) == (body.stream, body.position)
    ]
    if not found:
        detail = "no consumer holds this stream back at this position: see GET /quarantine"
        raise NotFound("not_quarantined", detail)
    if any(held.consumer == RETRIES_BY_ITSELF for held in found):
        if body.consumer == RETRIES_BY_ITSELF:
            detail = "timers decide on the whole of a stream, or not: mend what reads it"
            raise Conflict("not_discardable", detail)
        found = [held for held in found if held.consumer != RETRIES_BY_ITSELF]
    return found


def _of(found: Sequence[Held], consumer: str | None) -> Sequence[Held]:
    """Those of the consumer, or all; NotFound if it holds nothing back."""
    mine = [held for held in found if consumer in (None, held.consumer)]
    if consumer is not None and not mine:
        known = sorted({held.consumer for held in found})
        near = ", ".join(get_close_matches(consumer, known, 1) or known) or "nobody"
        raise NotFound("not_quarantined", f"{consumer} holds nothing back; {near} does")
    return mine


def _change(command: Command, held: Held, reason: str) -> Change:
    stream = stream_of_consumer(held.consumer)
    state, version = command.store.load(stream, consumers.evolve, Consumer())
    wish = EventDiscarded(
        StreamId(held.stream), held.position, held.version, held.name, held.error, reason
    )
    return Change(stream, version, consumers.discard(state, wish), command.meta)


def _try_again(connection: Connection, names: Sequence[str], caller: Caller) -> None:
    known = {progress.view for progress in rebuilds.find(connection)}
    for name in names:
        quarantine.ask_retry(connection, name)
        if name in known:
            rebuilds.request(connection, name, caller.principal.name, retry=True)
