"""The FastAPI application: routes, problems, body cap, request ids, OpenAPI 3.2."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api import (
    agents,
    audit,
    budgets,
    cluster,
    configuration,
    decisions,
    history,
    jobs,
    log,
    metrics,
    outlook,
    output,
    policy,
    problems,
    projects,
    quarantine,
    reservations,
    tokens,
    usage,
    views,
)
from api.cell import Cell
from api.command import Replay, answer
from api.edge import Edge
from api.metrics import CellState, Counters
from infra import asyncapi
from infra import quarantine as quarantine_table
from infra.settings import Settings

PREFIX = "/api/v1"
MODULES = (
    jobs,
    history,
    outlook,
    output,
    cluster,
    projects,
    budgets,
    usage,
    policy,
    reservations,
    configuration,
    log,
    views,
    audit,
    decisions,
    quarantine,
    metrics,
    tokens,
    agents,
)


class Health(BaseModel):
    """Whether commands are taken: `ok`, or `read_only` while the database's disk is nearly full.

    `quarantined` counts the streams that consumers hold back (`GET /quarantine`).
    """

    status: Literal["ok", "read_only"]
    quarantined: int


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings; it opens its cell when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        cell = app.state.cell = Cell(settings, counters.appended)
        state = CellState(cell)
        counters.registry.register(state)
        yield
        counters.registry.unregister(state)
        cell.close()

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
    app.state.counters = counters = Counters()
    app.add_api_route(
        "/metrics", metrics.metrics, include_in_schema=False, dependencies=metrics.GUARDS
    )
    for module in MODULES:
        app.include_router(module.router, prefix=PREFIX)

    @app.get(f"{PREFIX}/health", tags=["health"])
    def health(request: Request) -> Health:
        """Whether the database answers, and takes commands; needs no token."""
        cell: Cell = request.app.state.cell
        with cell.connection() as connection:
            held = sum(quarantine_table.counts(connection).values())
        return Health(status="read_only" if cell.space.short() else "ok", quarantined=held)

    events = asyncapi.text()

    @app.get(f"{PREFIX}/asyncapi.json", include_in_schema=False)
    def asyncapi_document() -> Response:
        """The events on Kafka; needs no token, as the OpenAPI document."""
        return Response(events, media_type="application/json")

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
