"""Quantities as text: exact, in whole numbers."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_platform import amounts
from compute_platform.errors import Misused
from compute_platform.table import Column, table


@given(st.integers(-(10**18), 10**18))
def test_money_is_exact(micro: int) -> None:
    text = amounts.money(micro)
    assert Decimal(text) * 1_000_000 == micro
    assert len(text.partition(".")[2]) >= 2


@given(st.integers(0, 10**9))
def test_cpu_is_exact(milli: int) -> None:
    assert Decimal(amounts.cpu(milli)) * 1000 == milli


@given(st.integers(0, 2**62))
def test_hours_are_rounded_down(seconds: int) -> None:
    assert 0 <= seconds - Decimal(amounts.hours(seconds)) * 3600 < 36


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1Ki"), (32 * 2**30, "32Gi"), (3 * 2**29, "1.5Gi")],
)
def test_memory(size: int, text: str) -> None:
    assert amounts.memory(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (59, "59s"), (192, "3m12s"), (7500, "2h05m"), (356_400, "4d03h")],
)
def test_duration(seconds: int, text: str) -> None:
    assert amounts.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("1m5", 65)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert amounts.parse_duration(text) == seconds


@given(st.text(max_size=8))
def test_other_text_is_refused_and_never_crashes(text: str) -> None:
    with suppress(Misused):
        assert amounts.parse_duration(text) >= 0


def test_instants() -> None:
    now = datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert amounts.parse_instant("1d", now) == "2026-11-23T08:00:00Z"
    assert amounts.parse_instant("2026-11-24T09:30:00+01:30", now) == "2026-11-24T08:00:00Z"
    assert amounts.clock("2026-11-24T08:00:00.123456Z") == "2026-11-24 08:00:00Z"
    with pytest.raises(Misused):
        amounts.parse_instant("soon", now)
    with pytest.raises(Misused):
        amounts.parse_instant("99999999999d", now)
    with pytest.raises(Misused, match="1h30m"):
        amounts.parse_duration("9" * 5000)


@given(st.lists(st.tuples(*[st.text("abc ", max_size=30)] * 3), max_size=5), st.integers(20, 100))
def test_tables_fit_where_they_can(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = [Column("A", least=4), Column("B", least=4, right=True), Column("C", 4, kept=True)]
    for line in table(columns, rows, width):
        assert len(line) <= max(width, 3 * 4 + 2 * 2)
