"""What every request passes first: an id, headers, and the cap on its body."""

from __future__ import annotations

import secrets

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem


class TooLarge(HTTPException):
    """The body passed the limit; an HTTPException, because FastAPI hides any other as a 400."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes")


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

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            detail = str(TooLarge(self._limit).detail)
            refusal = problem(Request(scope), 413, "body_too_large", detail)
            await refusal(scope, receive, send_with_id)
            return
        await self._app(scope, self._capped(receive), send_with_id)

    def _capped(self, receive: Receive) -> Receive:
        size = 0

        async def capped() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise TooLarge(self._limit)
            return message

        return capped
