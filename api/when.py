"""Moments as people write them: RFC 3339 text, never a bare number."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?")


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("write a time such as 2026-11-24T08:00:00Z")
    return value


When = Annotated[datetime, BeforeValidator(_text)]
"""A moment; pydantic alone would take any number for seconds since 1970."""
