"""A cell of real processes for each module."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.conftest import _database
from tests.faults.cell import RealCell


@pytest.fixture(scope="module")
def cell(server: str, request: pytest.FixtureRequest) -> Iterator[RealCell]:
    """Nothing runs yet."""
    name = request.module.__name__.rpartition(".")[2]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_cell")
        with (
            tempfile.TemporaryDirectory(prefix="compute-faults-") as folder,
            closing(RealCell(_database(server, name), Path(folder))) as cell,
        ):
            yield cell
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
