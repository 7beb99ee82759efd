"""The FastAPI application: routes, problems, body cap, request ids, OpenAPI 3.2."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import (
    agents,
    cluster,
    history,
    jobs,
    log,
    output,
    policy,
    problems,
    projects,
    tokens,
    usage,
)
from api.cell import Cell
from api.command import Replay, answer
from domain.errors import Invalid
from infra.settings import Settings

PREFIX = "/api/v1"
MODULES = (jobs, history, output, cluster, projects, usage, policy, log, tokens, agents)


class Health(BaseModel):
    """Whether commands are taken: `ok` or `unavailable`."""

    status: str


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings; it opens its cell when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.cell = Cell(settings)
        yield
        app.state.cell.close()

    app = FastAPI(
        title="Compute Platform",
        version="1",
        description="Jobs on GPU clusters: submit, ask why, control, account.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=problems.RESPONSES,
        redirect_slashes=False,
    )
    app.openapi_version = "3.2.0"
    app.router.route_class = StrictRoute
    for module in MODULES:
        module.router.route_class = StrictRoute
        app.include_router(module.router, prefix=PREFIX)

    @app.get(f"{PREFIX}/health", tags=["health"])
    def health(request: Request) -> Health:
        """Whether the database answers; needs no token."""
        request.app.state.cell.store.now()
        return Health(status="ok")

    @app.exception_handler(Replay)
    async def replay(_request: Request, found: Replay) -> Response:
        saved = found.saved
        return answer(json.loads(saved.response), saved.status, saved.position, replay=True)

    problems.install(app)
    app.add_middleware(Edge, limit=settings.body_limit_bytes)
    _add_problem_schema(app)
    return app


def _add_problem_schema(app: FastAPI) -> None:
    """Name the problem's schema in the document; every error response refers to it."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            problem = problems.Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it


class StrictRequest(Request):
    """Reads JSON without the gaps of the default: no duplicate names, NaN or Infinity."""

    async def json(self) -> Any:
        """The body; Invalid for what JSON does not allow or would silently lose."""
        if not hasattr(self, "_json"):
            self._json = json.loads(
                await self.body(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
            )
        return self._json


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid("duplicate_field", f"{twice}: given twice", field=twice)
    return found


def _no_constant(text: str) -> Any:
    raise Invalid("not_a_number", f"{text} is not a JSON number")


class StrictRoute(APIRoute):
    """A route that reads its body as a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


class Edge:
    """ASGI: gives each request an id and refuses bodies over the limit while they arrive."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req-{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        size = 0

        async def receive_capped() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise _TooLarge
            return message

        try:
            declared = dict(scope["headers"]).get(b"content-length", b"0")
            if declared.isdigit() and int(declared) > self._limit:
                raise _TooLarge
            await self._app(scope, receive_capped, send_with_id)
        except _TooLarge:
            if not started:
                await self._refuse(scope, receive, send_with_id)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        detail = f"the body is larger than {self._limit} bytes"
        response = problems.problem(request, 413, "body_too_large", detail)
        await response(scope, receive, send)


class _TooLarge(Exception):
    """The body passed the limit."""
