"""Long streams are loaded from their snapshot on, and to the same state as from their beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import psycopg
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from domain.checkpoint import checkpoint
from domain.checkpoint.checkpoint import Checkpoints
from domain.checkpoint.events import CheckpointCause, Committed, Manifest, Restored
from domain.consumer.consumer import Consumer
from domain.event import Change, Event, Meta, StreamId, stream_of
from domain.reservation.events import Terms
from domain.reservation.reservation import Reservation
from domain.reservation.schedule import Schedule
from domain.token.token import Token
from domain.values.ids import JobId
from infra import stream_snapshots
from infra.store import Log, Store
from infra.stream_snapshots import DECODERS, EVERY
from tests.golden.histories import load, recorded

JOB = JobId("job-1")
STREAM = stream_of("checkpoint", JOB)
META = Meta("test", "test", "test", "ml")
LONG = EVERY + 100


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Whoever may do what the services may not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def saved(number: int) -> Event:
    """The next checkpoint; now and then the job went on from one."""
    if number % 50 == 0:
        return Restored(JOB, number, 0, f"{number:064d}")
    manifest = Manifest(number % 3, f"{number:064d}", number, number, number)
    return Committed(JOB, number // 50, number, CheckpointCause.INTERVAL, manifest)


def write(store: Store, first: int, last: int) -> None:
    events = [saved(number) for number in range(first, last + 1)]
    store.append([Change(STREAM, first - 1, events, META)])


def loaded(log: Log) -> tuple[Checkpoints, int]:
    return log.load(STREAM, checkpoint.evolve, Checkpoints(JOB))


def whole(store: Store) -> tuple[Checkpoints, int]:
    """Folded from the beginning."""
    return Log.load(store, STREAM, checkpoint.evolve, Checkpoints(JOB))


def test_a_short_stream_has_none(store: Store, owner: psycopg.Connection[Any]) -> None:
    write(store, 1, EVERY - 1)
    assert loaded(store) == whole(store)
    assert owner.execute("SELECT count(*) FROM stream_snapshots").fetchone() == (0,)


def test_only_the_end_of_a_long_stream_is_read(
    store: Store, owner: psycopg.Connection[Any]
) -> None:
    write(store, 1, LONG)
    assert loaded(store) == whole(store)
    assert loaded(store) == whole(store), "nothing came after the snapshot"
    write(store, LONG + 1, LONG + 10)
    expected = whole(store)
    assert loaded(store) == expected
    owner.execute(
        "DELETE FROM stored_events WHERE originator_id = %s AND originator_version < %s",
        (STREAM, LONG),
    )
    assert loaded(store) == expected, "it did not read what is not there"
    with pytest.raises(AssertionError):
        assert whole(store) == expected


def test_a_snapshot_follows_the_stream(store: Store, owner: psycopg.Connection[Any]) -> None:
    for last in (LONG, 2 * LONG, 3 * LONG):
        write(store, last - LONG + 1, last)
        assert loaded(store) == whole(store)
        assert owner.execute("SELECT version FROM stream_snapshots").fetchone() == (last,)


@pytest.mark.parametrize(
    "harm",
    [
        "state = convert_to('{}', 'UTF8')",
        "state = overlay(state PLACING '9'::bytea FROM 20)",
        "version = version - 1",
        "form = 'of other code'",
    ],
)
def test_one_that_does_not_fit_is_passed_over(
    store: Store, owner: psycopg.Connection[Any], harm: str
) -> None:
    write(store, 1, LONG)
    loaded(store)
    owner.execute(f"UPDATE stream_snapshots SET {harm}".encode())
    write(store, LONG + 1, LONG + 10)
    assert loaded(store) == whole(store)


def test_one_of_other_code_is_replaced(store: Store, owner: psycopg.Connection[Any]) -> None:
    write(store, 1, LONG)
    loaded(store)
    owner.execute("UPDATE stream_snapshots SET form = 'of other code', version = 10000")
    loaded(store)
    row = owner.execute("SELECT version, form FROM stream_snapshots").fetchone()
    assert row == (LONG, stream_snapshots.form())


def test_a_database_that_takes_none_hinders_nobody(
    dsn: str, store: Store, owner: psycopg.Connection[Any]
) -> None:
    write(store, 1, LONG)
    owner.execute(
        f"ALTER DATABASE {owner.info.dbname} SET default_transaction_read_only = on".encode()
    )
    with closing(Store(dsn)) as reader:
        assert loaded(reader) == whole(store)
    assert owner.execute("SELECT count(*) FROM stream_snapshots").fetchone() == (0,)


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.name)
def test_every_state_is_read_as_it_was_kept(path: Path) -> None:
    """Of each aggregate, after each event of a history with every command and fault in it."""
    _, events = load(path)
    of = {evolve.__module__.split(".")[1]: evolve for evolve in DECODERS}
    states: dict[StreamId, Any] = {}
    seen = set()
    for each in events:
        kind, _, name = each.stream.partition("/")
        if kind not in of:
            continue
        evolve = of[kind]
        initial = {"checkpoint": Checkpoints(JobId(name)), **BLANK}.get(kind)
        state = states[each.stream] = evolve(states.get(each.stream, initial), each.event)
        assert DECODERS[evolve].decode(msgspec.json.encode(state)) == state
        seen.add(kind)
    assert seen >= {"allocation", "checkpoint", "job", "node", "policy", "project"}


RESERVATIONS = st.builds(
    Reservation,
    st.text(),
    st.builds(
        Terms,
        st.builds(Schedule, st.integers(0, 2**50), st.integers(1, 3600), st.just(3600) | st.none()),
        nodes=st.lists(st.text()).map(tuple),
        projects=st.lists(st.text()).map(tuple),
        maintenance=st.booleans(),
    ),
    st.booleans(),
)


@given(st.from_type(Token) | st.from_type(Consumer) | RESERVATIONS)
def test_states_that_the_histories_lack_are_read_as_they_were_kept(state: object) -> None:
    [evolve] = [kind for kind in DECODERS if get_type_hints(kind)["return"] is type(state)]
    try:
        data = msgspec.json.encode(state)
    except OverflowError:
        reject()  # no event can have such a number
    assert DECODERS[evolve].decode(data) == state


BLANK: dict[str, Any] = {
    evolve.__module__.split(".")[1]: decoder.decode(b"{}")
    for evolve, decoder in DECODERS.items()
    if evolve.__module__.split(".")[1] in ("consumer", "policy")
}
