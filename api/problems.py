"""Problem details (RFC 9457) for every error, and the one mapping of refusals to statuses."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from domain import errors

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
    """The response for an error."""
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

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = _merged(_field_error(request, item) for item in error.errors())
        detail = "; ".join(f"{item['field']}: {item['detail']}" for item in found[:5])
        return problem(request, 422, "invalid_request", detail, errors=found)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, errors.Refusal):  # refused while the body was read
            return _refused(request, error.__cause__)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        headers = dict(error.headers) if error.headers else None
        return problem(request, error.status_code, code, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled error in %s", request.url.path, exc_info=error)
        return problem(request, 500, "internal_error", "an unexpected error; it was logged")


def _refused(request: Request, refusal: errors.Refusal) -> JSONResponse:
    facts: dict[str, Any] = dict(refusal.facts)
    field = facts.get("field")
    if isinstance(refusal, errors.Invalid) and isinstance(field, str):
        facts["errors"] = [{"field": field, "detail": refusal.detail, "nearest": None}]
    return problem(
        request, status_of(refusal), refusal.code, refusal.detail or refusal.code, None, **facts
    )


def _merged(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a field: what each branch of a union asked for, joined."""
    fields: dict[str, dict[str, Any]] = {}
    for item in found:
        known = fields.setdefault(item["field"], item)
        if known is not item and item["detail"] not in known["detail"]:
            known["detail"] += f", or: {item['detail']}"
    return list(fields.values())


def _field_error(request: Request, item: dict[str, Any]) -> dict[str, Any]:
    location = list(item["loc"])
    if location and location[0] in ("body", "query", "path", "header"):
        where, path = location[0], location[1:]
    else:
        where, path = "body", location
    path = [part for part in path if not _is_branch(part)]
    if item["type"] == "json_invalid":
        detail = f"not JSON at character {path[-1]}: {item['ctx']['error']}"
        return {"field": where, "detail": detail, "nearest": None}
    if item["type"] != "extra_forbidden":
        return {"field": _text(path, where), "detail": item["msg"], "nearest": None}
    names = _names_at(request, path[:-1]) if where == "body" else []
    close = difflib.get_close_matches(str(path[-1]), names, 1, 0.4)
    nearest = close[0] if close else None
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    return {"field": _text(path, where), "detail": f"unknown field{hint}", "nearest": nearest}


def _is_branch(part: object) -> bool:
    """Whether a location part names a branch of a union, such as `int` or `list[str]`."""
    return isinstance(part, str) and (part in _BRANCHES or "[" in part or "(" in part)


_BRANCHES = {"int", "float", "str", "bool", "constrained-str", "constrained-int"}


def _text(path: Sequence[object], where: str) -> str:
    return ".".join(str(part) for part in path) or str(where)


def _names_at(request: Request, path: Iterable[object]) -> list[str]:
    """The field names of the request model at a path."""
    field = getattr(request.scope.get("route"), "body_field", None)
    kind: Any = getattr(getattr(field, "field_info", None), "annotation", None)
    for part in path:
        kind = _model_in(kind)
        if kind is None:
            return []
        if isinstance(part, str) and part in kind.model_fields:
            kind = kind.model_fields[part].annotation
    kind = _model_in(kind)
    return list(kind.model_fields) if kind is not None else []


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _model_in(part))), None)
