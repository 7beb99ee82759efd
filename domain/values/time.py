"""Time: whole microseconds since the Unix epoch (UTC), and durations in the same unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR_SECONDS = 366 * 24 * 3600

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_text(at_us: int) -> str:
    """RFC 3339 with microseconds, for example `2026-11-24T04:05:06.000007Z`."""
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_datetime(at: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (at - _EPOCH) // timedelta(microseconds=1)
