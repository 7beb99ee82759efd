"""What a read model is: a row type, the keys an event touches, and a fold.

The table is made from the row type, so a read model is one file without SQL for writing. The
projector (`processors/projector.py`) keeps rows and position in one transaction.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

from domain.event import Recorded

Row = TypeVar("Row")
Key = tuple[str | int, ...]


@dataclass(frozen=True)
class View(Generic[Row]):
    """A read model.

    `row` is a frozen dataclass whose fields are the columns (anything but str, int and bool is
    kept as jsonb); `key` names its primary key. `touches` gives the keys of the rows an event
    changes; `fold` gives such a row after the event, None to have none. `version` is raised
    when `fold` changes its meaning: the view is then rebuilt.
    """

    name: str
    row: type[Row]
    key: tuple[str, ...]
    touches: Callable[[Recorded], Iterable[Key]]
    fold: Callable[[Row | None, Key, Recorded], Row | None]
    indexes: tuple[str, ...] = ()
    version: int = 1

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column name to SQL type, with NOT NULL where the field is not optional."""
        hints = get_type_hints(self.row)
        return {f.name: _column(hints[f.name]) for f in fields(self.row)}  # type: ignore[arg-type]  # a dataclass

    def table(self) -> str:
        return f"view_{self.name}"

    def ddl(self, table: str) -> list[str]:
        """The statements that make the table under the given name."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self.columns.items())
        key = ", ".join(f'"{name}"' for name in self.key)
        return [
            f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))",
            *(
                f"CREATE INDEX {table}_{number}_idx ON {table} {index}"
                for number, index in enumerate(self.indexes)
            ),
        ]

    @cached_property
    def layout(self) -> str:
        """A hash of columns, indexes and version: another one means rebuild."""
        text = "\n".join([*self.ddl("t"), str(self.version)])
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, record: dict[str, Any]) -> Row:
        """A row from a database record."""
        return msgspec.convert(record, self.row)

    def load(self, connection: Connection[dict[str, Any]], keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows of these keys, as far as they exist."""
        query = SQL("SELECT t.* FROM {table} t JOIN unnest({arrays}) AS k ({key}) USING ({key})")
        statement = query.format(
            table=Identifier(self.table()), arrays=self._arrays(self.key), key=_names(self.key)
        )
        columns = [list(column) for column in zip(*keys, strict=True)]
        records = connection.execute(statement, columns).fetchall()
        return {tuple(record[name] for name in self.key): self.read(record) for record in records}

    def save(self, connection: Connection[dict[str, Any]], rows: Sequence[Row]) -> None:
        """Insert or replace rows."""
        names = tuple(self.columns)
        statement = SQL(
            "INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
            " ON CONFLICT ({key}) DO UPDATE SET {updates}"
        ).format(
            table=Identifier(self.table()),
            names=_names(names),
            arrays=self._arrays(names),
            key=_names(self.key),
            updates=SQL(", ").join(
                SQL("{n} = excluded.{n}").format(n=Identifier(name)) for name in names
            ),
        )
        connection.execute(statement, [self._values(rows, name) for name in names])

    def remove(self, connection: Connection[dict[str, Any]], keys: Sequence[Key]) -> None:
        """Delete rows by key."""
        statement = SQL("DELETE FROM {table} WHERE ({key}) IN (SELECT * FROM unnest({arrays}))")
        connection.execute(
            statement.format(
                table=Identifier(self.table()), key=_names(self.key), arrays=self._arrays(self.key)
            ),
            [list(column) for column in zip(*keys, strict=True)],
        )

    def key_of(self, row: Row) -> Key:
        """The key of a row."""
        return tuple(getattr(row, name) for name in self.key)

    def _arrays(self, names: Iterable[str]) -> Composed:
        kinds = [self.columns[name].removesuffix(" NOT NULL") for name in names]
        return SQL(", ").join(SQL("%s::" + kind + "[]") for kind in kinds)

    def _values(self, rows: Sequence[Row], name: str) -> list[Any]:
        values = [getattr(row, name) for row in rows]
        if self.columns[name].startswith("jsonb"):
            return [None if v is None else msgspec.json.encode(v).decode() for v in values]
        return values


def _names(names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in names)


def _column(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        [inner] = [part for part in get_args(hint) if part is not types.NoneType]
        return _column(inner).removesuffix(" NOT NULL")
    base = getattr(hint, "__supertype__", hint)  # the str behind a NewType
    if isinstance(base, type):
        for kind, sql in ((bool, "boolean"), (int, "bigint"), (str, "text")):
            if issubclass(base, kind):
                return f"{sql} NOT NULL"
    return "jsonb NOT NULL"
