"""The scheduler's state kept beside the log: the same as folding all of it, or passed over."""

from __future__ import annotations

import logging
import zlib
from dataclasses import fields, replace

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.saved import pack
from domain.scheduling.snapshot import Snapshot
from infra import snapshots as module
from infra.snapshots import Snapshots, decode
from processors import scheduler
from processors.scheduler import ROLE, Scheduler
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.strategies import cells
from tests.processors.small_cell import SmallCell, settle
from tests.replayed import check


def folded(cell: SmallCell, until: int = 2**62) -> Snapshot:
    found = Snapshot()
    for recorded in cell.store.read(0, 10_000):
        if recorded.position <= until:
            found.apply(recorded)
    return found


def busy(cell: SmallCell) -> None:
    """Something of everything a snapshot holds."""
    cell.register("node-1", cpus=2)
    cell.register("node-2", cpus=1)
    cell.limit(4)
    for name in ("a", "b", "c", "d"):
        cell.submit(name)
    settle(cell.scheduler())
    cell.start("a")
    cell.cordon("node-2", drain=True)
    settle(cell.scheduler())
    cell.end("a")


def alike(one: Snapshot, other: Snapshot) -> None:
    for each in fields(Snapshot):
        if each.compare:  # what is left out follows from the rest
            assert getattr(one, each.name) == getattr(other, each.name), each.name


@given(cells())
def test_a_state_is_read_as_it_was_written(cell: Cell) -> None:
    state = zlib.compress(msgspec.json.encode(pack(cell.snapshot)))
    again = decode(state)
    assert again is not None
    alike(again, cell.snapshot)


@pytest.mark.parametrize("left", [0, 1, 7])
def test_a_kept_state_and_the_rest_of_the_log_are_all_of_the_log(
    cell: SmallCell, left: int
) -> None:
    busy(cell)
    positions = [recorded.position for recorded in cell.store.read(0, 10_000)]
    kept = Snapshots(cell.dsn)
    kept.save(folded(cell, positions[-1 - left]))
    found = kept.newest(cell.store.head())
    assert found.position == positions[-1 - left]
    for recorded in cell.store.read(found.position, 10_000):
        found.apply(recorded)
    alike(found, folded(cell))


def test_a_leader_begins_where_another_left_its_state(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "SAVE_EVENTS", 1)
    busy(cell)
    kept = Snapshots(cell.dsn)
    first = Scheduler(cell.store, cell.stream, cell.store.take_role(ROLE, "1"), cell.now, kept=kept)
    settle(first)
    first.save()
    cell.submit("e")
    epoch = cell.store.take_role(ROLE, "2")
    second = Scheduler(cell.store, cell.stream, epoch, cell.now, kept=kept)
    assert second.snapshot.position == first.snapshot.position
    settle(second)
    third = cell.scheduler()
    settle(third)
    second.snapshot.touched = third.snapshot.touched = set()
    alike(second.snapshot, third.snapshot)
    check(cell.store.read)


def test_what_the_kept_state_leaves_to_decide_is_decided(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept between reading and deciding: nothing new need happen for the next leader to decide."""
    cell.register("node-1")
    cell.submit("a")
    kept = Snapshots(cell.dsn)
    kept.save(folded(cell))
    settle(Scheduler(cell.store, cell.stream, cell.store.take_role(ROLE, "1"), cell.now, kept=kept))
    assert cell.phase("a") == "starting"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE scheduler_snapshots SET state = '\\x00' || state", "damaged"),
        ("UPDATE scheduler_snapshots SET position = position - 1", "damaged"),
        ("UPDATE scheduler_snapshots SET form = '0-old'", "another version"),
    ],
)
def test_what_does_not_fit_is_passed_over_with_a_line(
    cell: SmallCell, change: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    busy(cell)
    kept = Snapshots(cell.dsn)
    kept.save(folded(cell))
    with psycopg.connect(cell.dsn) as connection:
        connection.execute(change.encode())
    with caplog.at_level(logging.WARNING):
        assert kept.newest(cell.store.head()) == Snapshot()
    assert said in caplog.text


def test_an_older_one_serves_where_the_newest_is_damaged(cell: SmallCell) -> None:
    busy(cell)
    whole = folded(cell)
    kept = Snapshots(cell.dsn)
    middle = cell.store.read(0, 10_000)[9].position
    kept.save(folded(cell, middle))
    kept.save(whole)
    with psycopg.connect(cell.dsn) as connection:
        connection.execute(
            "UPDATE scheduler_snapshots SET digest = '' WHERE position = %s", (whole.position,)
        )
    assert kept.newest(whole.position).position == middle


def test_none_from_after_the_end_of_the_log_is_taken(cell: SmallCell) -> None:
    """A log that was restored from an older copy, say."""
    busy(cell)
    kept = Snapshots(cell.dsn)
    kept.save(replace(folded(cell), position=cell.store.head() + 1))
    assert kept.newest(cell.store.head()) == Snapshot()


def test_few_are_kept(cell: SmallCell) -> None:
    kept = Snapshots(cell.dsn)
    for position in range(1, 10):
        kept.save(Snapshot(position=position))
    with psycopg.connect(cell.dsn) as connection:
        rows = connection.execute("SELECT position FROM scheduler_snapshots ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == [6, 7, 8, 9]
    assert module.KEPT == 4


@given(st.binary(max_size=40))
def test_rubbish_is_no_state(rubbish: bytes) -> None:
    assert decode(rubbish) is None
    assert decode(zlib.compress(b"!" + rubbish)) is None
