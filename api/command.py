"""Commands over HTTP: idempotency keys, metadata, and the answer with its log position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Header, Request
from fastapi.responses import Response

from api.auth import Caller
from domain.errors import Invalid
from domain.event import AnyEvent, Event, Meta, Recorded, StreamId
from infra.failpoint import failpoint
from infra.recorder import Answer
from infra.store import Change, KeyTaken, Log, Saved

State = TypeVar("State")


class Replay(Exception):
    """The command was answered before under its key: answer the same."""

    def __init__(self, saved: Saved) -> None:
        super().__init__("replay")
        self.saved = saved


@dataclass(frozen=True)
class Key:
    """The Idempotency-Key of a request, empty if it has none, and what it stands for."""

    text: str
    fingerprint: str

    def check(self, store: Log, principal: str) -> None:
        """Raise Replay if the key was answered; Invalid if for another request."""
        if not self.text:
            return
        saved = store.recall(principal, self.text)
        if saved is None:
            return
        if saved.fingerprint != self.fingerprint:
            detail = "it was used for another request: choose a new one"
            raise Invalid("key_reused", detail, field="idempotency-key")
        raise Replay(saved)


async def idempotency_key(
    request: Request,
    idempotency_key: Annotated[str, Header(max_length=128, pattern=r"^[ -~]*$")] = "",
) -> Key:
    """The request's key and the hash of its method, path and body."""
    if not idempotency_key:
        return Key("", "")
    hasher = hashlib.sha256(f"{request.method} {request.url.path}\n".encode())
    hasher.update(await request.body())
    return Key(idempotency_key, hasher.hexdigest())


@dataclass
class Command:
    """One command of a caller: records events and builds the answer."""

    caller: Caller
    key: Key
    project: str | None = None
    status: int = 200
    position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.key.check(self.store, self.caller.principal.name)
        self.caller.cell.space.check()

    @property
    def store(self) -> Log:
        return self.caller.cell.store

    @property
    def meta(self) -> Meta:
        request = self.caller.request_id
        return Meta(self.caller.principal.name, f"command:{request}", request, self.project)

    def append(self, changes: Sequence[Change], body: dict[str, Any]) -> Response:
        """Record the changes and answer `body` with the position."""
        recorded = self._once(lambda: self.store.append(changes, answer=self._answer(body)))
        return self.response(body, recorded)

    def execute(
        self,
        stream: StreamId,
        evolve: Callable[[State, AnyEvent], State],
        initial: State,
        decide: Callable[[State], Sequence[Event]],
        body: Callable[[State], dict[str, Any]],
    ) -> Response:
        """Decide on an aggregate, record, and answer the `body` of its new state."""
        state, recorded = self._once(
            lambda: self.store.execute(
                stream,
                evolve,
                initial,
                decide,
                self.meta,
                answer=lambda after: self._answer(body(after)),
            )
        )
        return self.response(body(state), recorded)

    def response(self, body: dict[str, Any], recorded: Sequence[Recorded]) -> Response:
        """The answer to a command; without effect, the position is the log's head."""
        self.position = recorded[-1].position if recorded else self.store.head()
        return answer(body, self.status, self.position)

    def _answer(self, body: dict[str, Any]) -> Answer | None:
        if not self.key.text:
            return None
        name, text = self.caller.principal.name, json.dumps(body).encode()
        return Answer(name, self.key.text, self.key.fingerprint, self.status, text)

    def _once(self, record: Callable[[], Any]) -> Any:
        failpoint("api.command.undecided")
        try:
            recorded = record()
            failpoint("api.command.recorded")
            return recorded
        except KeyTaken:  # the same command ran beside us and was first
            self.key.check(self.store, self.caller.principal.name)
            raise


def answer(body: dict[str, Any], status: int, position: int, *, replay: bool = False) -> Response:
    """A JSON answer that carries a log position."""
    headers = {"Log-Position": str(position)}
    if replay:
        headers["Idempotent-Replay"] = "true"
    content = json.dumps({**body, "position": position}).encode()
    return Response(content, status, headers, "application/json")
