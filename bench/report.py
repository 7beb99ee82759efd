"""What a benchmark found: rows of figures, as a table for people or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is `value` divided by the value of `against`, in the same unit."""

    name: str
    value: float
    unit: str
    size: int
    ratio: float
    against: str


Round = Mapping[str, float]
"""What one round measured, by name."""


def medians(rounds: Sequence[Round]) -> dict[str, float]:
    """The median of each name over the rounds."""
    names = dict.fromkeys(name for found in rounds for name in found)
    return {name: median(found[name] for found in rounds if name in found) for name in names}


def rows(
    values: Mapping[str, float], unit: str, size: int, base: str, peers: Sequence[str], ours: str
) -> list[Row]:
    """Every value against the raw limit `base`, and those beginning with `ours` against peers."""
    pairs = [(name, base) for name in values]
    pairs += [(name, peer) for name in values if name.startswith(ours) for peer in peers]
    return [
        Row(name, values[name], unit, size, values[name] / values[against], against)
        for name, against in pairs
        if against in values
    ]


def table(found: Iterable[Row]) -> str:
    """Rows in columns."""
    lines = [("name", "value", "unit", "size", "ratio", "against")]
    for row in found:
        ratio = f"{row.ratio:.4g}"
        lines.append((row.name, f"{row.value:.6g}", row.unit, str(row.size), ratio, row.against))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    numbers = (1, 3, 4)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def json_lines(found: Iterable[Row]) -> str:
    """One JSON object a line."""
    return "\n".join(json.dumps(asdict(row)) for row in found)
