"""Quantities as people write them: plain numbers and Kubernetes quantities."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil

from domain.errors import Invalid

_QUANTITY = re.compile(
    r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>|[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})"
)
_FACTORS = {
    "": Fraction(1),
    "n": Fraction(10) ** -9,
    "u": Fraction(10) ** -6,
    "m": Fraction(10) ** -3,
    **{letter: Fraction(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
LARGEST = 2**63 - 1
GIB = 2**30


def parse(field: str, value: str | int | float) -> Fraction:
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
    number, suffix = Fraction(match["number"].rstrip(".")), match["suffix"]
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        return number * Fraction(10) ** int(suffix[1:])
    return number * _FACTORS[suffix]


def to_integer(field: str, number: Fraction, scale: int) -> int:
    """`number * scale` rounded up to an integer that fits 63 bits; Invalid if it does not."""
    scaled = ceil(number * scale)
    if scaled > LARGEST:
        raise Invalid(
            "too_large",
            f"{field}: the largest value is {LARGEST // scale}",
            field=field,
        )
    return scaled


def milli(field: str, value: str | int | float) -> int:
    """Thousandths of a CPU or GPU."""
    return to_integer(field, parse(field, value), 1000)


def size(field: str, value: str | int | float) -> int:
    """Bytes."""
    return to_integer(field, parse(field, value), 1)


def gibibytes(field: str, value: str | int | float) -> int:
    """Bytes of a plain number of GiB, as in `memory_gb: 32`."""
    return to_integer(field, parse(field, value), GIB)
