"""Rows into a table: many by COPY, the cheapest way in for rows made in Python, few by INSERT.

COPY is two round trips, and can be no part of a pipeline. For it a row is written as JSON, by one
call that is not Python, and read as CSV: a JSON array without its brackets is a line of CSV whose
escape is the backslash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.pq import PipelineStatus

FEW = 50
"""Below so many rows INSERT is quicker."""
ENDS = {"to_position": "bigint NOT NULL", "span": "smallint NOT NULL"}
"""What a row of the history has beside its own columns."""
PIECE = 500
"""Rows sent at once: the server takes them in while the next are made."""
_FORMAT = r"""FORMAT csv, ESCAPE '\', NULL 'null'"""
_encoder = msgspec.json.Encoder()
_encode = _encoder.encode


def put_in(
    connection: Connection[dict[str, Any]],
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Any],
    ends: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Insert rows, objects with an attribute for each column.

    `ends` are the values of `to_position` and `span`, a pair a row.
    """
    if len(rows) >= FEW and connection.pgconn.pipeline_status == PipelineStatus.OFF:
        _copy(connection, table, columns, rows, ends)
    elif rows:
        kinds = columns if ends is None else {**columns, **ENDS}
        names = ", ".join(f'"{name}"' for name in kinds)
        query = f"INSERT INTO {table} ({names}) SELECT {names} FROM {recordset(kinds)}"
        connection.execute(query.encode(), (as_json(columns, rows, ends),))


def type_of(column: str) -> str:
    """The SQL type alone of a column."""
    return column.removesuffix(" NOT NULL")


def recordset(columns: Mapping[str, str]) -> str:
    """A table expression `n` with these columns of a parameter made by `as_json`."""
    fields = ", ".join(f'"{name}" {type_of(column)}' for name, column in columns.items())
    return f"json_to_recordset(%s) AS n ({fields})"


def _copy(
    connection: Connection[dict[str, Any]],
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Any],
    ends: Sequence[tuple[int, int]] | None,
) -> None:
    names = ", ".join(f'"{name}"' for name in (columns if ends is None else {**columns, **ENDS}))
    query = f"COPY {table} ({names}) FROM STDIN ({_FORMAT})"
    with connection.cursor().copy(query.encode()) as copy:
        for piece in _pieces(columns, rows, ends):
            copy.write(piece)


def as_json(
    columns: Iterable[str], rows: Sequence[Any], ends: Sequence[tuple[int, int]] | None = None
) -> str:
    """These columns of rows, as an array of objects by column."""
    names = tuple(columns)
    values = attrgetter(*names)
    found = [dict(zip(names, values(row), strict=True)) for row in rows]
    for row, end in zip(found, ends or (), strict=False):
        row.update(zip(ENDS, end, strict=True))
    return _encode(found).decode()


def _pieces(
    columns: Mapping[str, str], rows: Sequence[Any], ends: Sequence[tuple[int, int]] | None
) -> Iterator[bytes]:
    """The lines, some at a time."""
    values = attrgetter(*columns)
    jsons = [n for n, kind in enumerate(columns.values()) if kind.startswith("jsonb")]
    texts: dict[int, str] = {}  # by identity: rows of one batch share most of what they hold
    for start in range(0, len(rows), PIECE):
        lists = [[*values(row)] for row in rows[start : start + PIECE]]
        for line in lists:
            for n in jsons:
                value = line[n]
                if value is not None:
                    text = texts.get(id(value))
                    if text is None:
                        text = texts[id(value)] = _encode(value).decode()
                    line[n] = text
        if ends is not None:
            for line, end in zip(lists, ends[start : start + PIECE], strict=True):
                line += end
        yield _csv(lists)


def _csv(lists: list[list[Any]]) -> bytes:
    arrays = _encoder.encode_lines(lists)  # a raw line end is in no JSON string
    piece = arrays[1:-2].replace(b"]\n[", b"\n")
    # JSON escapes control characters by a backslash and a letter, which CSV takes for just that.
    # One look at all lines: in hardly any is a backslash before anything but a quotation mark.
    if not _is_plain(piece):
        safe = (
            line if _is_plain(line) else ",".join(map(_field, values)).encode()
            for line, values in zip(piece.split(b"\n"), lists, strict=True)
        )
        piece = b"\n".join(safe)
    return piece + b"\n"


def _is_plain(text: bytes) -> bool:
    return text.count(b"\\") == text.count(b'\\"')


def _field(value: Any) -> str:
    if isinstance(value, str):
        return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
    return _encode(value).decode()
