"""A batch is applied whole and once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from domain.event import Recorded
from processors.projector import Connection, Projector, RemadeView, connect
from projections import tokens
from projections.catalogue import VIEWS
from projections.tables import prepare
from projections.view import View
from tests.projections.histories import SEEDS, Portions, history
from tests.projections.tables import dump, folded, parsed, positions, project_all

EVENTS = history(SEEDS[0])
HALF = len(EVENTS) // 2
WRITTEN = "*, xmin::text AS written"
"""With the transaction that wrote each row: one written again with the same values differs."""


@dataclass
class Late(Portions):
    """A history in which something happens between reading a batch and projecting it."""

    meanwhile: Callable[[], None] = lambda: None

    def read(self, after: int, limit: int) -> list[Recorded]:
        batch = super().read(after, limit)
        self.meanwhile()
        return batch


def test_a_batch_that_a_rival_applied_meanwhile_changes_nothing(dsn: str) -> None:
    project_all(dsn, Portions(EVENTS[:HALF]))
    seen: list[Any] = []

    def rival() -> None:
        project_all(dsn, Portions(EVENTS))
        seen.append((dump(connection, WRITTEN), positions(connection)))

    with closing(connect(dsn)) as connection:
        late = Projector(connection, Late(EVENTS, meanwhile=rival))
        assert late.step() == len(EVENTS) - HALF
        assert seen == [(dump(connection, WRITTEN), positions(connection))]
        assert parsed(dump(connection)) == folded(EVENTS)


def test_a_batch_of_which_a_rival_applied_a_part_is_applied_from_there(dsn: str) -> None:
    def rival() -> None:
        project_all(dsn, Portions(EVENTS[:HALF]))

    with closing(connect(dsn)) as connection:
        prepare(connection)
        Projector(connection, Late(EVENTS, meanwhile=rival)).step()
        assert parsed(dump(connection)) == folded(EVENTS)


def test_two_that_take_turns_rely_on_no_row_that_the_other_changed(dsn: str) -> None:
    """Each keeps the rows it wrote last; most are written by the other next."""
    with closing(connect(dsn)) as one, closing(connect(dsn)) as other:
        prepare(one)
        streams = Portions(EVENTS, [5, 3]), Portions(EVENTS, [4])
        turns = Projector(one, streams[0]), Projector(other, streams[1])
        while sum(projector.step() for projector in turns):
            pass
        assert parsed(dump(one)) == folded(EVENTS)


def test_rows_are_kept_only_until_a_rebuild_took_the_tables_place(dsn: str) -> None:
    """The new table has other rows: of a stream that was held back before."""
    with closing(connect(dsn)) as connection:
        prepare(connection)
        projector = Projector(connection, Portions(EVENTS[:HALF]))
        projector.step()
        connection.execute("UPDATE view_jobs SET name = 'other'")
        connection.execute("UPDATE view_positions SET position = position WHERE view = 'jobs'")
        follower = Portions(EVENTS)
        projector_goes_on(projector, follower)
        names = connection.execute("SELECT DISTINCT name FROM history_jobs").fetchall()
        assert {"name": "other"} in names, "it was read anew"


def projector_goes_on(projector: Projector, stream: Portions) -> None:
    """To the end of another stream."""
    projector._stream = stream
    while projector.step():
        pass


def faulty(fault: Callable[[], None]) -> tuple[View[Any], ...]:
    """All read models and then one whose fold meets a fault: the others are written by then."""

    def fold(row: Any, key: Any, recorded: Recorded) -> Any:
        fault()
        return tokens.VIEW.fold(row, key, recorded)

    return (*VIEWS, replace(tokens.VIEW, name="faulty", fold=fold))


@pytest.mark.parametrize("fault", ["memory", "connection"])
def test_a_batch_that_fails_half_way_leaves_rows_and_positions(dsn: str, fault: str) -> None:
    broken = False

    def meet() -> None:
        if broken and fault == "memory":
            raise MemoryError
        if broken:
            end_session(dsn, connection)

    views = faulty(meet)
    project_all(dsn, Portions(EVENTS[:HALF]), views)
    with closing(connect(dsn)) as connection, closing(connect(dsn)) as other:
        before = dump(other, WRITTEN, views), positions(other)
        broken = True
        with pytest.raises((MemoryError, psycopg.OperationalError)):
            Projector(connection, Portions(EVENTS), views).step()
        assert (dump(other, WRITTEN, views), positions(other)) == before
        broken = False
        project_all(dsn, Portions(EVENTS), views)
        assert parsed(dump(other)) == folded(EVENTS)


def end_session(dsn: str, connection: Connection) -> None:
    """Cut a connection off from the server's side."""
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))


def test_a_read_model_that_begins_anew_meanwhile_misses_nothing(dsn: str) -> None:
    """A batch read before does not follow position 0: it would leave the first half out."""
    project_all(dsn, Portions(EVENTS[:HALF]))

    def begin_anew() -> None:
        with closing(connect(dsn)) as other:
            other.execute("UPDATE view_positions SET layout = 'old' WHERE view = 'jobs'")
            prepare(other)

    with closing(connect(dsn)) as connection:
        Projector(connection, Late(EVENTS, meanwhile=begin_anew)).step()
        project_all(dsn, Portions(EVENTS))
        assert parsed(dump(connection)) == folded(EVENTS)


def test_a_table_of_another_version_is_not_written_to(dsn: str) -> None:
    """During an upgrade both versions run: what one made, the other must not fold into."""
    project_all(dsn, Portions(EVENTS[:HALF]))
    newer = tuple(replace(view, version=view.version + 1) for view in VIEWS)
    with closing(connect(dsn)) as connection:
        older = Projector(connection, Portions(EVENTS))
        prepare(connection, newer)
        with pytest.raises(RemadeView):
            older.step()
        assert set(positions(connection).values()) == {0}
        assert not any(dump(connection).values())
