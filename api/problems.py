"""Problem details (RFC 9457) for every error, and the one mapping of refusals to statuses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.fields import field_errors
from domain import errors
from domain.errors import Unavailable
from infra.codec import UnknownEvent

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_STATUS: dict[type[errors.Refusal], int] = {
    errors.Invalid: 422,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.OverQuota: 429,
    errors.Unavailable: 503,
}
_CODES = {413: "body_too_large"}
RETRY_AFTER_SECONDS = 1


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    detail: str
    nearest: str | None = None


class Problem(BaseModel):
    """An error as answered; `code` is stable, `facts` are those of the refusal."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}
"""For every route: which errors it may answer."""


def status_of(refusal: errors.Refusal) -> int:
    """The HTTP status of a refusal's class."""
    return next(_STATUS[kind] for kind in type(refusal).__mro__ if kind in _STATUS)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **facts: Any,
) -> JSONResponse:
    """The response for an error, which is counted."""
    request.app.state.counters.refused(code)
    body = {
        "type": f"/docs/problems#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "request_id": getattr(request.state, "request_id", ""),
        **facts,
    }
    if status == 503:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS), **(headers or {})}
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""

    @app.exception_handler(errors.Refusal)
    async def refused(request: Request, refusal: errors.Refusal) -> JSONResponse:
        return _refused(request, refusal)

    @app.exception_handler(UnknownEvent)
    async def unreadable(request: Request, error: UnknownEvent) -> JSONResponse:
        log.error("%s needs an event that cannot be read: %s", request.url.path, error)
        bad = error.poison
        return _refused(
            request,
            Unavailable(
                "unreadable_event",
                f"an event of {bad.stream} cannot be read by this version of the platform",
                position=bad.position,
            ),
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = field_errors(request, error)
        detail = "; ".join(f"{item['field']}: {item['detail']}" for item in found[:5])
        return problem(request, 422, "invalid_request", detail, errors=found)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, errors.Refusal):  # refused while the body was read
            return _refused(request, error.__cause__)
        code = _CODES.get(error.status_code) or HTTPStatus(error.status_code).name.lower()
        headers = dict(error.headers) if error.headers else None
        return problem(request, error.status_code, code, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled error in %s", request.url.path, exc_info=error)
        return problem(request, 500, "internal_error", "an unexpected error; it was logged")


def _refused(request: Request, refusal: errors.Refusal) -> JSONResponse:
    facts: dict[str, Any] = dict(refusal.facts)
    later = facts.pop("retry_after_seconds", None)
    headers = None if later is None else {"Retry-After": str(later)}
    field = facts.get("field")
    detail = refusal.detail or refusal.code
    if isinstance(refusal, errors.Invalid) and isinstance(field, str):
        if field not in detail:
            detail = f"{field}: {detail}"
        facts["errors"] = [{"field": field, "detail": detail, "nearest": facts.get("nearest")}]
    return problem(request, status_of(refusal), refusal.code, detail, headers, **facts)
