"""The FastAPI application: routes, problems, body cap, request ids, OpenAPI 3.2."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api import (
    agents,
    audit,
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
    views,
)
from api.cell import Cell
from api.command import Replay, answer
from api.edge import Edge
from infra.settings import Settings

PREFIX = "/api/v1"
MODULES = (
    jobs,
    history,
    output,
    cluster,
    projects,
    usage,
    policy,
    log,
    views,
    audit,
    tokens,
    agents,
)


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
    for module in MODULES:
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
