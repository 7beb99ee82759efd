"""One byte string for one value, whoever computes it: what digests of decisions are taken of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any


def plain(value: object) -> Any:
    """A value as dicts, lists, strings, whole numbers, booleans and None.

    Fields that hold their default are left out, so that a new optional field changes no digest.
    Sets become sorted lists. TypeError for floats and whatever else has no one form.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=_text)
    if isinstance(value, dict):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    found = {}
    for name, default in _DEFAULTS.get(type(value)) or _learn(type(value)):
        item = getattr(value, name)
        if default is MISSING or item != default:
            found[name] = plain(item)
    return found


def canonical(value: object) -> bytes:
    """`plain` as compact ASCII JSON with sorted names."""
    return _text(plain(value)).encode()


def digest(value: object) -> str:
    """The SHA-256 of `canonical`, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


_DEFAULTS: dict[type, tuple[tuple[str, object], ...]] = {}
"""Names of each dataclass met so far with their defaults, MISSING where there is none."""


def _learn(kind: type) -> tuple[tuple[str, object], ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no canonical form")
    found = _DEFAULTS[kind] = tuple((each.name, _default(each)) for each in fields(kind))
    return found


def _default(each: Field[Any]) -> object:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return each.default
