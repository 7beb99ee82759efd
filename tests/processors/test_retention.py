"""Old history goes when settings say so; what is left answers as before, the rest is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from api.cell import Cell
from api.moment import find
from domain.errors import Invalid
from domain.scheduling.snapshot import RECEIPTS
from infra.codec import to_stored
from infra.moments import reach
from infra.settings import Settings
from processors.projector import Connection, connect
from processors.retention import Retention
from projections.catalogue import VIEWS
from tests.projections.histories import SEEDS, Portions, history
from tests.projections.tables import dump, project_all

EVENTS = history(SEEDS[4])
MIDDLE = EVENTS[len(EVENTS) // 2]


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A cell whose log ends now, with the distances in time that its history has."""
    with closing(connect(dsn)) as connection:
        _fill(connection)
        project_all(dsn, Portions(EVENTS))
        yield connection


def _fill(connection: Connection) -> None:
    later = reach(connection).now - EVENTS[-1].recorded_at
    with connection.cursor() as cursor, cursor.copy("COPY stored_events FROM STDIN") as copy:
        for e in EVENTS:
            if e.stream == RECEIPTS:  # its decisions cannot be recomputed at other times
                continue
            row = to_stored(e.stream, e.version, e.event, e.meta, None)
            head = (row.originator_id, row.originator_version, row.topic, row.state)
            copy.write_row((*head, e.position, e.recorded_at + later))


def kept_from(connection: Connection) -> int:
    return reach(connection).kept_from


def at(connection: Connection, position: int) -> dict[str, list[object]]:
    """All rows of all read models at a position."""
    found = {}
    for view in VIEWS:
        records = connection.execute(f"SELECT * FROM {view.at(position)} v".encode()).fetchall()
        found[view.name] = sorted(map(repr, records))
    return found  # type: ignore[return-value]  # texts are objects


def seconds_since(connection: Connection, position: int) -> int:
    row = connection.execute(
        "SELECT (extract(epoch FROM clock_timestamp()) - time_at(%s) / 1e6)::bigint AS s",
        (position,),
    ).fetchone()
    assert row is not None
    return int(row["s"])


def test_by_default_all_is_kept(connection: Connection) -> None:
    before = dump(connection)
    retention = Retention(connection, 0)
    assert (retention.step(), retention.step()) == (0, 0)
    assert dump(connection) == before


def test_what_is_too_old_is_refused_then_deleted_and_the_rest_stays(
    dsn: str, connection: Connection
) -> None:
    retention = Retention(connection, seconds_since(connection, MIDDLE.position))
    everything, rows = at(connection, EVENTS[-1].position), dump(connection)
    assert retention.step() == 0, "first it is refused"
    horizon = kept_from(connection)
    assert 0 < horizon < EVENTS[-1].position
    kept = at(connection, horizon)
    assert retention.step() > 100
    assert at(connection, horizon) == kept
    assert at(connection, EVENTS[-1].position) == everything
    left = dump(connection)
    for view in VIEWS:
        assert left[view.name] == rows[view.name]
        past = left[view.past_table()].values()
        assert all(record["to_position"] > horizon for record in past)
    horizon = kept_from(connection)
    with closing(Cell(Settings(database_url=dsn))) as cell:
        assert find(cell, str(horizon)).position == horizon
        with pytest.raises(Invalid) as refused:
            find(cell, str(horizon - 1))
    assert refused.value.code == "history_gone"
    assert refused.value.facts["kept_from"] == horizon


def test_a_horizon_never_goes_back(connection: Connection) -> None:
    """With a longer time set later, what was deleted stays refused."""
    Retention(connection, seconds_since(connection, MIDDLE.position)).step()
    before = kept_from(connection)
    Retention(connection, 10**6).step()
    assert kept_from(connection) == before


def test_the_horizon_is_one_row(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO history_horizon DEFAULT VALUES")
