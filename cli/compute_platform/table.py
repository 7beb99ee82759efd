"""Tables in plain text, as wide as the terminal allows."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

GAP = "  "


class Column(NamedTuple):
    """A heading; `least` is how narrow it may be cut (None: never), `right` aligns numbers.

    A `kept` column is cut only where the others cannot give more; a `rare` one is left out where
    no row has anything in it.
    """

    title: str
    least: int | None = None
    right: bool = False
    kept: bool = False
    rare: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table, cut to `width` characters where columns allow it (None: uncut)."""
    shown = [at for at, each in enumerate(columns) if not each.rare or any(r[at] for r in rows)]
    columns, rows = [columns[at] for at in shown], [[row[at] for at in shown] for row in rows]
    widths = [
        max([len(column.title), *(len(row[at]) for row in rows)])
        for at, column in enumerate(columns)
    ]
    if width is not None:
        _shrink(widths, columns, width - len(GAP) * (len(columns) - 1))
    titles = [column.title for column in columns]
    return [
        GAP.join(
            _cell(text, size, column.right)
            for text, size, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in [titles, *rows]
    ]


def _shrink(widths: list[int], columns: Sequence[Column], room: int) -> None:
    """Take from the widest column that may still give, until the row fits or none may."""
    while sum(widths) > room:
        giving = [
            at
            for at, column in enumerate(columns)
            if column.least is not None and widths[at] > max(column.least, len(column.title))
        ]
        if not giving:
            return
        widths[max(giving, key=lambda at: (not columns[at].kept, widths[at]))] -= 1


def _cell(text: str, size: int, right: bool) -> str:
    if len(text) > size:
        text = text[: size - 1] + "…"
    return text.rjust(size) if right else text.ljust(size)


def terminal_width() -> int | None:
    """COLUMNS if set, else the terminal's width; None where the output is not a terminal."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return None
