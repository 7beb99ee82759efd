"""What is wrong with which field of a request, told so that people can mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

Item = dict[str, Any]
_PLACES = ("body", "query", "path", "header")
_NOT_AN_OBJECT = "model_attributes_type"


def join(path: Iterable[object], otherwise: str = "body") -> str:
    """A path such as `resources.gpu` or `command.1`."""
    return ".".join(str(part) for part in path) or otherwise


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The name most like this one, or None if none is."""
    return next(iter(difflib.get_close_matches(name, names, 1, 0.4)), None)


def field_errors(request: Request, error: RequestValidationError) -> list[dict[str, Any]]:
    """One entry a field: its path, what is wrong, and the nearest name of an unknown one."""
    found: dict[str, list[Item]] = {}
    for item in error.errors():
        where, path = _locate(item, error.body)
        field = join(path, where)
        found.setdefault(field, []).append({**item, "where": where, "path": path})
    wanted = {field: items for field, items in found.items() if not _is_branch(field, items, found)}
    return [_entry(request, field, items) for field, items in wanted.items()]


def _locate(item: Item, body: object) -> tuple[str, list[str | int]]:
    """Where the error lies. Parts that name a branch of a union are not in the body."""
    location = list(item["loc"])
    where = location.pop(0) if location and location[0] in _PLACES else "body"
    if where != "body" or item["type"] == "json_invalid":
        return where, [] if item["type"] == "json_invalid" else location
    path: list[str | int] = []
    for part in location:
        inside = isinstance(body, dict) and part in body
        if inside or (isinstance(body, list) and isinstance(part, int) and part < len(body)):
            body = body[part]  # type: ignore[index]  # just seen
            path.append(part)
    return where, [*path, location[-1]] if item["type"] == "missing" and location else path


def _is_branch(field: str, items: list[Item], found: dict[str, list[Item]]) -> bool:
    """Whether it only says that a list is not a plain value, while a member of it is wrong."""
    deeper = any(other.startswith(f"{field}.") for other in found)
    return deeper and all(_is_of_type(item) for item in items)


def _is_of_type(item: Item) -> bool:
    return str(item["type"]).endswith("_type")


def _entry(request: Request, field: str, items: list[Item]) -> dict[str, Any]:
    unknown = next((item for item in items if item["type"] == "extra_forbidden"), None)
    if unknown is not None:
        path = unknown["path"]
        close = nearest(str(path[-1]), _names_at(request, path[:-1]))
        hint = f"; did you mean {close!r}?" if close else ""
        return {"field": field, "detail": f"unknown field{hint}", "nearest": close}
    telling = [item for item in items if not _is_of_type(item)] or items
    details = dict.fromkeys(_detail(request, item) for item in telling)
    return {"field": field, "detail": ", or: ".join(details), "nearest": None}


def _detail(request: Request, item: Item) -> str:
    if item["type"] == "json_invalid":
        return f"not JSON at character {item['loc'][-1]}: {item['ctx']['error']}"
    if item["type"] == _NOT_AN_OBJECT:
        kind = request.headers.get("content-type", "")
        if not item["path"] and "json" not in kind:
            return "send it with the header 'Content-Type: application/json'"
        return "Input should be an object"
    return str(item["msg"]).removeprefix("Value error, ")


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
