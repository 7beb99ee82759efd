"""Where a fleet keeps its integers: lists for plain Python, arrays for compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.scheduling.fleet.layout import Ints


class Cells(Protocol):
    """Makes rows of integers."""

    def of(self, values: Sequence[int]) -> Ints:
        """These integers."""
        ...

    def filled(self, size: int, value: int) -> Ints:
        """One integer, `size` times."""
        ...

    def where(self, values: Ints) -> Ints:
        """The numbers of those that are not 0, in order."""
        ...


class ListCells:
    """Plain lists."""

    def of(self, values: Sequence[int]) -> Ints:
        return list(values)

    def filled(self, size: int, value: int) -> Ints:
        return [value] * size

    def where(self, values: Ints) -> Ints:
        return [number for number, value in enumerate(values) if value]


class ArrayCells:
    """Arrays of 64-bit integers; NumPy is imported by the first of them."""

    def __init__(self) -> None:
        import numpy as np

        self._np = np

    def of(self, values: Sequence[int]) -> Ints:
        return self._np.array(values, dtype=self._np.int64)

    def filled(self, size: int, value: int) -> Ints:
        return self._np.full(size, value, dtype=self._np.int64)

    def where(self, values: Ints) -> Ints:
        return self._np.flatnonzero(values)
