"""Rows as they were: closed versions, found by position with one index.

A version held from its event's position up to, not including, `to_position`. To ask which versions
hold at a position, versions are filed by the size of that interval, in powers of two: those of a
size hold at `p` only if they began within that size before `p`. So each size is one short range of
the index on (span, position), of which about half or more holds at `p`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from projections.copying import ENDS

SPANS = 62
"""The largest power of two: more positions than a log can have."""


def span_of(position: int, to_position: int) -> int:
    """The power of two, as its exponent, that the length of the interval does not pass."""
    return (to_position - position - 1).bit_length()


def history_ddl(table: str, columns: dict[str, str], indexes: Sequence[str]) -> list[str]:
    """The statements that make a table of closed versions."""
    inner = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    ends = ", ".join(f"{name} {kind}" for name, kind in ENDS.items())
    return [
        f"CREATE TABLE {table} ({inner}, {ends})",
        *(
            f"CREATE INDEX {table}_{number}_idx ON {table} {index}"
            for number, index in enumerate(("(span, position)", *indexes))
        ),
    ]


def unchanged(table: str, columns: Iterable[str], position: int) -> str:
    """A table expression of the rows at a position that are so still."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"(SELECT {names} FROM {table} WHERE position <= {position:d})"


def replaced(past: str, columns: Iterable[str], position: int, where: str = "true") -> str:
    """A table expression of the rows at a position that were replaced since.

    With what `where` says of them a partial index of that can be used.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    # OFFSET 0 keeps it a range of the index for each size, whatever the planner believes.
    return f"""(
        SELECT {names} FROM generate_series(0, {SPANS}) AS sizes (size) CROSS JOIN LATERAL (
            SELECT * FROM {past} WHERE span = size AND position <= {position:d}
            AND position > {position:d} - (1::bigint << size) AND to_position > {position:d}
            AND {where} OFFSET 0
        ) versions
    )"""


def replaced_by_key(past: str, columns: Iterable[str], position: int) -> str:
    """The same for a question that names keys, which an index of the history must have."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"""(
        SELECT {names} FROM {past} WHERE position <= {position:d} AND to_position > {position:d}
    )"""
