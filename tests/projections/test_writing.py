"""Rows come out of the tables as they went in, whatever their texts hold and however they came."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.project.events import Created
from processors.projector import connect
from projections import copying
from projections.view import Changes, Key, Row, View, kinds


class Noted(Row, frozen=True, kw_only=True):
    """A row with every kind of column, also of those that may be missing."""

    id: str
    text: str
    maybe: str | None
    number: int | None
    yes: bool
    words: tuple[str, ...]
    named: dict[str, str] | None


VIEW = View(
    name="noted",
    row=Noted,
    key=("id",),
    on=kinds(Created),
    touches=lambda _: [],
    fold=lambda row, _key, _event: row,
)
AWKWARD = [
    "",
    "null",
    "NULL",
    "\\N",
    "\\.",
    '"',
    '\\"',
    "a,b",
    "\n",
    "\r\n\t",
    "\\n",
    "\x01\x1f",
    "é",
]
texts = st.sampled_from(AWKWARD) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=20
)
rows = st.builds(
    Noted,
    position=st.integers(1, 2**40),
    id=texts,
    text=texts,
    maybe=st.none() | texts,
    number=st.none() | st.integers(-(2**63), 2**63 - 1),
    yes=st.booleans(),
    words=st.lists(texts, max_size=3).map(tuple),
    named=st.none() | st.dictionaries(texts, texts, max_size=3),
)


def keyed(found: Iterable[Noted]) -> dict[Key, Noted]:
    """Rows by key."""
    return {(row.id,): row for row in found}


@pytest.mark.parametrize("few", [1, copying.FEW])
@given(first=st.lists(rows, max_size=8), second=st.lists(rows, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_read_as_they_were_written(
    dsn: str, few: int, first: list[Noted], second: list[Noted]
) -> None:
    """New ones, then others in their place, some of them gone; and all of them as history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "FEW", few)  # COPY and INSERT
        _check(dsn, first, second)


def _check(dsn: str, first: list[Noted], second: list[Noted]) -> None:
    before, after = keyed(first), keyed(second)
    closed = [(row, row.position + 1 + n) for n, row in enumerate([*first, *second])]
    with closing(connect(dsn)) as connection:
        connection.execute("DROP TABLE IF EXISTS view_noted, history_noted")
        for statement in VIEW.ddl():
            connection.execute(statement.encode())
        VIEW.write(connection, Changes({}, before, []))
        assert VIEW.load(connection, sorted({*before, *after, ("nobody",)})) == before
        VIEW.write(connection, Changes(before, after, closed))
        assert VIEW.load(connection, sorted({*before, *after, ("nobody",)})) == after
        past = connection.execute("SELECT * FROM history_noted").fetchall()
        found = [(VIEW.read(row), row["to_position"]) for row in past]
        assert sorted(found, key=_place) == sorted(closed, key=_place)


def _place(closed: tuple[Noted, int]) -> tuple[int, int]:
    """No two that were closed at one position began at one."""
    row, end = closed
    return end, row.position


def test_many_rows_with_one_awkward_among_them(dsn: str) -> None:
    plain = Noted(
        position=1, id="", text="x", maybe=None, number=1, yes=True, words=("w",), named={"a": "b"}
    )
    many = [_with(plain, id=str(n)) for n in range(1200)]
    many[700] = _with(plain, id="700", text='a "quoted"\nline, \\n and \\')
    with closing(connect(dsn)) as connection:
        for statement in VIEW.ddl():
            connection.execute(statement.encode())
        VIEW.write(connection, Changes({}, keyed(many), []))
        assert VIEW.load(connection, [*keyed(many)]) == keyed(many)


def _with(row: Noted, **changes: Any) -> Noted:
    return Noted(**{name: changes.get(name, getattr(row, name)) for name in row.__struct_fields__})
