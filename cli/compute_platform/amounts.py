"""Quantities as people read them; whole numbers throughout, so nothing is rounded in secret."""

from __future__ import annotations

from datetime import datetime, timedelta

from compute_platform.errors import Misused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(seconds: int) -> str:
    """Seconds in the two largest units: `9s`, `3m12s`, `2h05m`, `4d03h`."""
    seconds = max(0, seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600:02}h"


def parse_duration(text: str) -> int:
    """The seconds that `90`, `90s`, `1h30m` or `7d` stand for. Misused if none."""
    total, digits = 0, ""
    for letter in text.strip() or "?":
        if letter in "0123456789" and len(digits) < 12:
            digits += letter
        elif letter in _UNITS and digits:
            total, digits = total + int(digits) * _UNITS[letter], ""
        else:
            raise Misused(f"{text!r} is not a duration: write 90, 90s, 15m, 1h30m or 7d.")
    return total + int(digits or 0)


def instant(text: str | None) -> datetime | None:
    """An RFC 3339 time as the API writes it, or None."""
    return datetime.fromisoformat(text) if text else None


def since(begin: str | None, end: datetime | None) -> str:
    """The time from `begin` to `end` as a duration, empty if either is unknown."""
    start = instant(begin)
    return "" if start is None or end is None else duration(int((end - start).total_seconds()))


def parse_instant(text: str, now: datetime) -> str:
    """RFC 3339 of a time, a date, or a duration before now (`7d`). Misused if none."""
    try:
        return _utc(now - timedelta(seconds=parse_duration(text)))
    except (Misused, OverflowError):
        pass
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(
            f"{text!r} is not a time: write 2026-11-24, 2026-11-24T08:00:00Z, or 7d for 7 days ago."
        ) from None
    return _utc(value if value.tzinfo else value.replace(tzinfo=now.tzinfo))


def parse_start(text: str, now: datetime) -> str:
    """RFC 3339 of a moment to come: `now`, a duration from now (`+2h`), a time or a date."""
    if text == "now":
        return _utc(now)
    if text.startswith("+"):
        try:
            return _utc(now + timedelta(seconds=parse_duration(text[1:])))
        except OverflowError:
            raise Misused(f"{text!r} is too far away.") from None
    return parse_instant(text, now)


def clock(text: str | None) -> str:
    """A time of the API for people: `2026-11-24 08:00:00Z`, `-` for none."""
    value = instant(text)
    return "-" if value is None else _utc(value).replace("T", " ")


def money(micro: int) -> str:
    """Millionths as an exact decimal with at least two places: 2500000 is `2.50`."""
    whole, rest = divmod(abs(micro), 1_000_000)
    places = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{whole}.{places}"


def cpu(milli: int) -> str:
    """Thousandths of a CPU: `8`, `1.5`, `0.25`."""
    return _thousandths(milli)


def memory(size: int) -> str:
    """Bytes in the largest binary unit, one place, rounded down: `32Gi`, `1.5Mi`, `0`."""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size >= 1024**power:
            whole, rest = divmod(size * 10 // 1024**power, 10)
            return f"{whole}.{rest}{unit}" if rest else f"{whole}{unit}"
    return str(size)


def hours(seconds: int) -> str:
    """Seconds as hours with two places, rounded down: 5400 is `1.50`."""
    return f"{seconds // 3600}.{seconds % 3600 * 100 // 3600:02}"


def number(value: int | None) -> str:
    """A number, or nothing where there is none."""
    return "" if value is None else str(value)


def _thousandths(milli: int) -> str:
    whole, rest = divmod(milli, 1000)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def _utc(value: datetime) -> str:
    offset = value.utcoffset() or timedelta()
    return (value.replace(tzinfo=None) - offset).isoformat(timespec="seconds") + "Z"


def span(us: int) -> str:
    """A stretch of time in microseconds: to a tenth of a second while it is short."""
    return f"{us / 1e6:.1f}s" if us < 10_000_000 else duration(us // 1_000_000)
