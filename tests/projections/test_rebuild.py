"""Every read model, rebuilt from the log, is row for row what it was when it followed live."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from processors.projector import Connection, Projector, connect
from projections.catalogue import VIEWS
from projections.tables import prepare
from projections.view import View
from tests.projections.histories import SEEDS, Replay, history

GOLDEN = Path(__file__).parents[1] / "events.golden.json"


def follow(dsn: str, stream: Replay, views: tuple[View[Any], ...] = VIEWS, steps: int = -1) -> None:
    """Project until there is nothing new, or so many batches, on a connection of its own."""
    with connect(dsn) as connection:
        prepare(connection, views)
        projector = Projector(connection, stream, views)
        while steps and projector.step():
            steps -= 1


def content(connection: Connection) -> dict[str, Any]:
    """All rows of all views, and how far each came."""
    found: dict[str, Any] = {}
    for view in VIEWS:
        key = ", ".join(f'"{name}"' for name in view.key)
        found[view.name] = connection.execute(
            f"SELECT * FROM {view.table()} ORDER BY {key}".encode()
        ).fetchall()
    query = "SELECT view, position FROM view_positions ORDER BY view"
    return {**found, "": connection.execute(query).fetchall()}


def rebuilt(dsn: str, seed: int) -> dict[str, Any]:
    """What a rebuild in one go shows; the tables are gone again."""
    with connect(dsn) as connection:
        prepare(connection)
        follow(dsn, Replay(history(seed), Everything()))
        found = content(connection)
        for view in VIEWS:
            connection.execute(f"DROP TABLE {view.table()}".encode())
        connection.execute("DELETE FROM view_positions")
    return found


class Everything(Random):
    """The luck to get as much as there may be."""

    def randint(self, a: int, b: int) -> int:  # noqa: ARG002 - always the most
        return b


def test_the_histories_hold_every_kind_of_event() -> None:
    seen = {r.event.topic for seed in SEEDS for r in history(seed)}
    assert seen == set(json.loads(GOLDEN.read_text(encoding="utf-8")))


@pytest.mark.parametrize("seed", SEEDS)
def test_rebuild_equals_live(dsn: str, seed: int) -> None:
    """Live: in batches of any size, by projectors that come and go."""
    whole, luck = rebuilt(dsn, seed), Random(seed)
    while True:
        follow(dsn, Replay(history(seed), luck, most=60), steps=luck.randint(1, 12))
        with connect(dsn) as connection:
            live = content(connection)
        if min(row["position"] for row in live[""]) == history(seed)[-1].position:
            break
    assert live == whole
    assert all(whole[view.name] for view in VIEWS if view.name not in ("queue", "seats")), "rows"


def test_views_made_later_catch_up_with_the_others(dsn: str) -> None:
    whole, luck = rebuilt(dsn, 1), Random(1)
    follow(dsn, Replay(history(1), luck, most=60), VIEWS[:4], steps=9)
    follow(dsn, Replay(history(1), luck, most=60))
    with connect(dsn) as connection:
        assert content(connection) == whole


def test_two_projectors_at_once_apply_each_event_once(dsn: str) -> None:
    whole, luck = rebuilt(dsn, 2), Random(2)
    with connect(dsn) as one, connect(dsn) as two:
        prepare(one)
        stream = Replay(history(2), luck, most=80)
        pair = [Projector(one, stream), Projector(two, stream)]
        stale = stream.read(0, 80)
        while luck.choice(pair).step():
            pass
        assert content(one) == whole
        again = Projector(two, Stale(stale))  # type: ignore[arg-type]  # gives old news once
        again.step()
        assert content(one) == whole


class Stale:
    """A stream that gives what was applied long ago."""

    def __init__(self, batch: list[Any]) -> None:
        self._batch = batch

    def read(self, after: int, limit: int) -> list[Any]:  # noqa: ARG002 - always the same
        return self._batch


class Broken(Exception):
    """A fold that cannot go on."""


def test_a_batch_that_fails_leaves_rows_and_positions_as_they_were(dsn: str) -> None:
    poison = history(3)[200]
    last = VIEWS[-1]

    def fold(row: Any, key: Any, recorded: Any) -> Any:
        if recorded.position >= poison.position:
            raise Broken
        return last.fold(row, key, recorded)

    def touches(recorded: Any) -> Any:
        return [("poison",)] if recorded == poison else last.touches(recorded)

    spoilt: View[Any] = View(last.name, last.row, last.key, touches, fold, last.indexes)
    views = (*VIEWS[:-1], spoilt)
    luck = Random(3)
    with connect(dsn) as connection:
        prepare(connection)
        with pytest.raises(Broken):
            follow(dsn, Replay(history(3), luck, most=40), views)
        before = content(connection)
        assert 0 < max(row["position"] for row in before[""]) < poison.position
        with pytest.raises(Broken):
            follow(dsn, Replay(history(3), luck, most=1000), views, steps=1000)
        assert max(r["position"] for r in content(connection)[""]) < poison.position
        follow(dsn, Replay(history(3), luck))
        healed = content(connection)
    for view in VIEWS:
        with psycopg.connect(dsn, autocommit=True) as plain:
            plain.execute(f"DROP TABLE {view.table()}".encode())
            plain.execute("DELETE FROM view_positions")
    assert healed == rebuilt(dsn, 3)
