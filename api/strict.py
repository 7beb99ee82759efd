"""Reading requests without the gaps of the defaults: bodies and addresses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api.fields import join, nearest
from domain.errors import Invalid


class StrictRequest(Request):
    """Reads JSON without the gaps of the default; see `read_json`."""

    async def json(self) -> Any:
        """The body as JSON."""
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that checks its address and reads its body as a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            check_address(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


class _Twice(dict[str, Any]):
    """An object that gave `name` twice; the default would lose one of them."""

    name: str


def read_json(body: bytes) -> Any:
    """The JSON of a body in UTF-8; json.JSONDecodeError if it is none.

    Invalid, with the path, for a name given twice, NaN and infinities, and for NUL and lone
    surrogates, which the database cannot hold.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=_object)
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise Invalid("bad_text", "body: not UTF-8 text", field="body") from None
    except RecursionError:
        raise Invalid("too_deep", "body: nested too deeply", field="body") from None
    except ValueError:  # the interpreter's limit for integers
        raise Invalid("out_of_range", "body: a number has too many digits", field="body") from None
    _check(found)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = _Twice(found)
    twice.name = next(name for name in names if names.count(name) > 1)
    return twice


def _check(found: object) -> None:
    waiting: list[tuple[tuple[str | int, ...], object]] = [((), found)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            for name in value:
                check_text(join(path), name)
            if isinstance(value, _Twice):
                field = join((*path, value.name))
                raise Invalid("duplicate_field", f"{field}: given twice", field=field)
            waiting.extend(((*path, name), inner) for name, inner in value.items())
        elif isinstance(value, list):
            waiting.extend(((*path, number), inner) for number, inner in enumerate(value))
        elif isinstance(value, str):
            check_text(join(path), value)
        elif isinstance(value, float) and not math.isfinite(value):
            field = join(path)
            raise Invalid("bad_number", f"{field}: NaN and Infinity are not JSON", field=field)


def check_text(field: str, text: str) -> None:
    """Refuse text the database cannot hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        detail = f"{field}: leave out NUL characters and lone surrogates"
        raise Invalid("bad_text", detail, field=field)


def check_address(request: Request) -> None:
    """Refuse query parameters the route does not know or that are given twice, and bad text."""
    for name, text in request.path_params.items():
        check_text(name, str(text))
    known = _parameters(request.scope["route"])
    seen: set[str] = set()
    for name, text in request.query_params.multi_items():
        if name not in known:
            _refuse_unknown(name, list(known))
        check_text(name, text)
        if name in seen and not known[name]:
            raise Invalid("duplicate_field", f"{name}: given twice", field=name)
        seen.add(name)


def _refuse_unknown(name: str, known: list[str]) -> None:
    shown = name.encode("utf-8", "replace").decode().replace("\0", "?")[:100]
    close = nearest(shown, known)
    hint = f"did you mean {close!r}?" if close else f"there are: {', '.join(sorted(known))}"
    detail = f"{shown}: unknown parameter; {hint}"
    raise Invalid("unknown_parameter", detail, field=shown, nearest=close)


def _parameters(route: APIRoute) -> dict[str, bool]:
    """The names of the route's query parameters, and whether each may be given many times."""
    found = {}
    for dependant in _all(route.dependant):
        for field in dependant.query_params:
            kind = field.field_info.annotation
            found[field.alias] = any(get_origin(part) is list for part in (kind, *get_args(kind)))
    return found


def _all(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _all(inner)
