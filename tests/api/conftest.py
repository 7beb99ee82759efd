"""Fixtures: a served cell for each file of tests, and cells with settings of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from tests.api.world import World

MakeWorld = Callable[..., World]
_numbers = itertools.count(1)


@contextmanager
def _open(server: str, **settings: Any) -> Iterator[World]:
    """A cell on a database of its own, made from the migrated template."""
    name = f"api_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_cell")
        world = World(psycopg.conninfo.make_conninfo(server, dbname=name), **settings)
        try:
            yield world
        finally:
            world.close()
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def world(server: str) -> Iterator[World]:
    """The cell of this file's tests: each test makes its own projects, people and nodes."""
    with _open(server) as world:
        yield world


@pytest.fixture
def new_world(server: str) -> Iterator[MakeWorld]:
    """Makes cells with settings of their own."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_open(server, **settings))
