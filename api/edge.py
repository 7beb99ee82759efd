"""What every request passes first: an id, headers, and the cap on its body."""

from __future__ import annotations

import secrets

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem


class TooLarge(Exception):
    """The body passed the limit."""


class Edge:
    """ASGI: numbers requests and refuses bodies over the limit while they arrive."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req-{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        answered = False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            self._check_declared(scope)
            await self._app(scope, self._capped(receive), send_with_id)
        except TooLarge:
            if not answered:
                detail = f"the body is larger than {self._limit} bytes"
                response = problem(Request(scope), 413, "body_too_large", detail)
                await response(scope, receive, send_with_id)

    def _check_declared(self, scope: Scope) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            raise TooLarge

    def _capped(self, receive: Receive) -> Receive:
        size = 0

        async def capped() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise TooLarge
            return message

        return capped
