"""Checks that values make of themselves."""

from __future__ import annotations

from domain.errors import Invalid


def between(field: str, value: int, least: int, most: int) -> None:
    """Refuse a number outside least..most, naming the field and the range."""
    if not least <= value <= most:
        raise Invalid("out_of_range", f"{field}: must be {least} to {most}", field=field)
