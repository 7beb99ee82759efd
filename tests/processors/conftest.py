"""The settings of Hypothesis, before any law is read, and a small cell for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tests.laws  # noqa: F401  # loads the profile
from tests.processors.small_cell import SmallCell, small_cell


@pytest.fixture
def cell(dsn: str) -> Iterator[SmallCell]:
    """A fresh cell with nothing in it."""
    with small_cell(dsn) as cell:
        yield cell
