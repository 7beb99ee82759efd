"""What a read model is: a row type, the keys an event touches, and a fold.

The tables are made from the row type, so a read model is one file without SQL for writing. Beside
the table of rows as they are stands one of rows as they were: a row's version is closed when an
event replaces it. Both are written in one transaction with the position
(`processors/projector.py`).
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from psycopg import Connection
from psycopg.rows import tuple_row

from domain.event import Event, Recorded
from projections.copying import as_json, put_in, recordset, type_of
from projections.past import history_ddl, replaced, replaced_by_key, span_of, unchanged

R = TypeVar("R", bound="Row")
Key = tuple[str | int, ...]
Reader = Connection[dict[str, Any]]
Version = tuple[R, int]
"""A version of a row that was replaced, and the position of the event that did."""


class Row(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A row of a read model: its fields are the columns.

    Anything but str, int and bool is kept as jsonb. `position` is that of the event that made
    this version of the row.
    """

    position: int


@dataclass(frozen=True)
class Changes(Generic[R]):
    """What events did to some rows: those before and after, and every version they replaced."""

    before: Mapping[Key, R]
    after: Mapping[Key, R]
    closed: Sequence[Version[R]]


@dataclass(frozen=True)
class View(Generic[R]):
    """A read model.

    `key` names its primary key. `on` are the events it is about: `touches` gives the keys of the
    rows such an event changes, `fold` gives such a row after the event, None to have none, the
    same row to leave it. No row has the key yet when an event of `begins` touches it. Columns that
    are `constant` in a row's life are left out of its history, and taken from the row. No event
    touches a row any more, as a rule, that is `over`. `version` is raised when `fold` changes its
    meaning: the view is then rebuilt.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    on: frozenset[type[Event]]
    touches: Callable[[Recorded], Iterable[Key]]
    fold: Callable[[R | None, Key, Recorded], R | None]
    begins: frozenset[type[Event]] = frozenset()
    constant: tuple[str, ...] = ()
    over: Callable[[R], bool] = lambda _: False
    indexes: tuple[str, ...] = ()
    past_indexes: tuple[str, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        """Have msgspec know the row before there are threads: see `infra/codec.py`."""
        _ = self._decoder

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column name to SQL type, with NOT NULL where the field is not optional."""
        hints = get_type_hints(self.row)
        return {name: _column(hints[name]) for name in self.row.__struct_fields__}

    @cached_property
    def past_columns(self) -> dict[str, str]:
        """The columns a closed version has, without its end."""
        return {name: kind for name, kind in self.columns.items() if name not in self.constant}

    def table(self) -> str:
        return f"view_{self.name}"

    def past_table(self) -> str:
        """The table of versions that were replaced."""
        return f"history_{self.name}"

    def tables(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Both tables, each with the last part of the names of its indexes."""
        rows = ("pkey", *(f"{number}_idx" for number in range(len(self.indexes))))
        past = tuple(f"{number}_idx" for number in range(len(self.past_indexes) + 1))
        return (self.table(), rows), (self.past_table(), past)

    def ddl(self) -> list[str]:
        """The statements that make both tables."""
        table = self.table()
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self.columns.items())
        key = ", ".join(f'"{name}"' for name in self.key)
        return [
            f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))",
            *(
                f"CREATE INDEX {table}_{number}_idx ON {table} {index}"
                for number, index in enumerate(self.indexes)
            ),
            *history_ddl(self.past_table(), self.past_columns, self.past_indexes),
        ]

    @cached_property
    def layout(self) -> str:
        """A hash of columns, indexes and version: another one means rebuild."""
        text = "\n".join([*self.ddl(), str(self.version)])
        return hashlib.sha256(text.encode()).hexdigest()

    def at(self, position: int | None, where: str = "true") -> str:
        """A table of the rows as they are, or of all as they were at a position of the log.

        The latter has no constant columns. With what `where` says, in SQL, of their own columns.
        """
        if position is None:
            return f"(SELECT * FROM {self.table()} WHERE {where})"
        return f"({' UNION ALL '.join(self.parts(position, where))})"

    def parts(self, position: int, where: str = "true") -> tuple[str, str]:
        """Two tables of the rows as they were: those that are so still, and those replaced."""
        names = self.past_columns
        return (
            f"(SELECT * FROM {unchanged(self.table(), names, position)} u WHERE {where})",
            replaced(self.past_table(), names, position, where),
        )

    def at_key(self, position: int | None) -> str:
        """The same, for a question by key: quick where `past_indexes` have it."""
        if position is None:
            return self.table()
        names = self.past_columns
        still = unchanged(self.table(), names, position)
        return f"({still} UNION ALL {replaced_by_key(self.past_table(), names, position)})"

    def read(self, record: dict[str, Any]) -> R:
        """A row from a database record."""
        return msgspec.convert(record, self.row)

    def select(self, connection: Reader, query: str, arguments: Any) -> list[R]:
        """The rows that a query gives, in its order; many are read several times faster so.

        Postgres makes each a JSON object, and one call makes that a row: no value passes Python.
        """
        wrapped = f"SELECT {_JSON} FROM ({query}) t".encode()
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            found = cursor.execute(wrapped, arguments).fetchall()
        decode = self._decoder.decode
        return [decode(row) for (row,) in found]

    def load(self, connection: Reader, keys: Sequence[Key]) -> dict[Key, R]:
        """The rows of these keys, as far as they exist."""
        key_of = attrgetter(*self.key)
        rows = self.select(connection, self._load, _columns(keys))
        one = len(self.key) == 1
        return {(key_of(row),) if one else key_of(row): row for row in rows}

    @cached_property
    def _load(self) -> str:
        key = ", ".join(f'"{name}"' for name in self.key)
        return (
            f"SELECT r.* FROM {self.table()} r JOIN unnest({self._arrays}) AS k ({key})"
            f" USING ({key})"
        )

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[R]:
        return msgspec.json.Decoder(self.row)

    def write(self, connection: Reader, changes: Changes[R]) -> None:
        """Put rows in the place of those before, and those that were replaced into the history."""
        before, after = changes.before, changes.after
        gone = [key for key in before if key not in after]
        new = [row for key, row in after.items() if key not in before]
        other = [row for key, row in after.items() if before.get(key, row) is not row]
        if gone:
            connection.execute(self._remove, _columns(gone))
        if other:
            connection.execute(self._update, (as_json(self.past_columns, other),))
        put_in(connection, self.table(), self.columns, new)
        ends = [(end, span_of(row.position, end)) for row, end in changes.closed]
        past = [row for row, _ in changes.closed]
        put_in(connection, self.past_table(), self.past_columns, past, ends)

    @cached_property
    def _remove(self) -> bytes:
        key = ", ".join(f'"{name}"' for name in self.key)
        return (
            f"DELETE FROM {self.table()} WHERE ({key}) IN (SELECT * FROM unnest({self._arrays}))"
        ).encode()

    @cached_property
    def _update(self) -> bytes:
        """What is constant stays as it is, and need not be sent again."""
        values = ", ".join(f'"{n}" = n."{n}"' for n in self.past_columns if n not in self.key)
        same = " AND ".join(f't."{name}" = n."{name}"' for name in self.key)
        return (
            f"UPDATE {self.table()} t SET {values} FROM {recordset(self.past_columns)} WHERE {same}"
        ).encode()

    @property
    def _arrays(self) -> str:
        return ", ".join(f"%s::{type_of(self.columns[name])}[]" for name in self.key)


_JSON = "convert_to(to_json(t)::text, 'UTF8')"


def _columns(keys: Sequence[Key]) -> list[list[str | int]]:
    """The keys as one array for each column."""
    return [list(column) for column in zip(*keys, strict=True)]


def kinds(*unions: Any) -> frozenset[type[Event]]:
    """The event classes of these classes and unions of classes."""
    return frozenset(_classes(unions))


def _classes(unions: Iterable[Any]) -> Iterator[type[Event]]:
    for union in unions:
        if isinstance(union, type):
            yield union
        else:
            yield from get_args(union)


def _column(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        [inner] = [part for part in get_args(hint) if part is not types.NoneType]
        return type_of(_column(inner))
    base = getattr(hint, "__supertype__", hint)  # the str behind a NewType
    if isinstance(base, type):
        for kind, sql in ((bool, "boolean"), (int, "bigint"), (str, "text")):
            if issubclass(base, kind):
                return f"{sql} NOT NULL"
    return "jsonb NOT NULL"
