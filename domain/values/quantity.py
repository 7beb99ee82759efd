"""Quantities as people write them: plain numbers and Kubernetes quantities."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from domain.errors import Invalid

_QUANTITY = re.compile(
    r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>|[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})"
)
_FACTORS = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
LARGEST = 2**63 - 1
GIB = 2**30


def parse(field: str, value: str | int | float) -> Decimal:
    """The exact number a plain number or a quantity such as `500m`, `32Gi` or `1e3` stands for.

    Grammar: k8s.io/apimachinery resource.Quantity without signs. Invalid if it is none.
    """
    text = str(value) if isinstance(value, str | int) else repr(value)
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 40:
        raise Invalid(
            "bad_quantity",
            f"{field}: write a number or a quantity such as 4, 0.5, '500m' or '32Gi'",
            field=field,
        )
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        return number * Decimal(10) ** int(suffix[1:])
    return number * _FACTORS[suffix]


def to_integer(field: str, number: Decimal, scale: int) -> int:
    """`number * scale` rounded up to an integer that fits 63 bits; Invalid if it does not."""
    scaled = (number * scale).to_integral_value(ROUND_CEILING)
    if scaled > LARGEST:
        raise Invalid(
            "too_large",
            f"{field}: the largest value is {LARGEST // scale}",
            field=field,
        )
    return int(scaled)


def milli(field: str, value: str | int | float) -> int:
    """Thousandths of a CPU or GPU."""
    return to_integer(field, parse(field, value), 1000)


def size(field: str, value: str | int | float) -> int:
    """Bytes."""
    return to_integer(field, parse(field, value), 1)


def gibibytes(field: str, value: str | int | float) -> int:
    """Bytes of a plain number of GiB, as in `memory_gb: 32`."""
    return to_integer(field, parse(field, value), GIB)
