"""Poison events and read models: one stream of one read model waits, all else goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from domain.consumer import consumer as consumers
from domain.consumer.events import EventDiscarded
from domain.event import Recorded
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra import quarantine
from infra.codec import FAULTS
from infra.store import Change, Store, stream_of
from processors.isolate import ViewFailed
from processors.projector import Connection, Projector, connect
from processors.rebuilder import Rebuilder
from projections import projects, rebuilds
from projections.catalogue import VIEWS
from projections.tables import prepare
from projections.view import Key, View
from tests.processors.small_cell import META, SmallCell
from tests.processors.test_projector import POISON, create, reached, rename, shown
from tests.projections.histories import SEEDS, Portions, history
from tests.projections.tables import dump, folded, parsed

NAMES = {view.name for view in VIEWS}


class Fault:
    """A fold that cannot take some events, until it is mended."""

    def __init__(self, view: View[Any], bad: set[int], error: type[Exception] = ValueError) -> None:
        self.bad = bad
        self.error = error
        self.view = replace(view, fold=self._fold)
        self._healthy = view.fold

    def _fold(self, row: Any, key: Key, recorded: Recorded) -> Any:
        if recorded.position in self.bad:
            raise self.error("cannot be folded")
        return self._healthy(row, key, recorded)


def with_view(view: View[Any]) -> tuple[View[Any], ...]:
    """The catalogue with this one in the place of its namesake."""
    return tuple(view if known.name == view.name else known for known in VIEWS)


def held(connection: Connection) -> list[tuple[str, str, int, int]]:
    """What is held back: consumer, stream, since which position, how many events."""
    return [(h.consumer, h.stream, h.position, h.held) for h in quarantine.find(connection)]


def discard(store: Store, consumer: str, stream: str, position: int) -> None:
    """Somebody decides that the consumer passes over an event."""
    wish = EventDiscarded(stream_of(*stream.split("/")), position, 1, "x.y.v1", "bad", "typo")
    store.execute(
        consumers.stream_of_consumer(consumer),
        consumers.evolve,
        consumers.Consumer(),
        lambda state: consumers.discard(state, wish),
        META,
    )


def rebuild(
    connection: Connection, stream: Any, view: str, views: Sequence[View[Any]] = VIEWS
) -> str | None:
    """Build a read model anew, as a retry does; what went wrong."""
    rebuilds.request(connection, view, "ada", retry=True)
    builder = Rebuilder(connection, stream, views)
    while builder.step():
        pass
    [found] = rebuilds.find(connection, view)
    assert found.rebuild is not None
    return found.rebuild.error


def project(connection: Connection, stream: Any, views: Sequence[View[Any]] = VIEWS) -> None:
    """A projector's life."""
    projector = Projector(connection, stream, views)
    while projector.step():
        pass


def test_an_unreadable_event_holds_its_stream_back_and_no_other(
    cell: SmallCell, caplog: pytest.LogCaptureFixture
) -> None:
    """Once and with an alert, however often it is read; a retry takes the stream up in order."""
    create(cell, "before")
    bad = create(cell, "bad")
    create(cell, "after")
    rename(cell, bad, POISON)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            cell.project()
    assert shown(cell) == {"before", "after"}
    assert reached(cell) == {cell.store.head()}
    assert set(held(cell.connection)) == {(name, "project/bad", bad, 1) for name in NAMES}
    assert len(caplog.records) == len(NAMES)
    assert f"stream project/bad at position {bad}, {POISON}" in caplog.text
    since = {h.consumer: h.since for h in quarantine.find(cell.connection)}

    assert rebuild(cell.connection, cell.stream, "projects") is None
    assert since == {h.consumer: h.since for h in quarantine.find(cell.connection)}
    assert shown(cell) == {"before", "after"}

    rename(cell, bad, Created.topic)  # as a version that knows it sees it
    for name in NAMES:
        assert rebuild(cell.connection, cell.stream, name) is None
    assert shown(cell) == {"before", "bad", "after"}
    assert held(cell.connection) == []
    assert parsed(dump(cell.connection)) == folded(cell.store.read(0))


ENVELOPE = '{"actor":"a","cause":"c","correlation":"c","project":null,"epoch":null,"data":{"id":7}}'


@pytest.mark.parametrize("state", ["not json", '{"actor": "a"}', ENVELOPE])
def test_a_bad_row_is_poison_and_does_not_stop_the_projector(cell: SmallCell, state: str) -> None:
    bad = create(cell, "bad")
    create(cell, "after")
    cell.connection.execute(
        "UPDATE stored_events SET state = %s WHERE notification_id = %s", (state.encode(), bad)
    )
    cell.project()
    assert shown(cell) == {"after"}
    about = {view.name for view in VIEWS if Created in view.on}
    assert {consumer for consumer, *_ in held(cell.connection)} == about


@pytest.mark.parametrize("error", [ValueError, AssertionError, KeyError, ZeroDivisionError])
def test_an_event_that_one_read_model_cannot_take_stops_no_other(
    cell: SmallCell, error: type[Exception]
) -> None:
    create(cell, "before")
    bad = create(cell, "bad")
    sick = Fault(replace(projects.VIEW, name="sick"), {bad}, error)
    views = (*VIEWS, sick.view)
    prepare(cell.connection, views)
    later = [Created(ProjectId("bad"), "again")]
    cell.store.append([Change(stream_of("project", "bad"), 1, later, META)])
    create(cell, "after")
    project(cell.connection, cell.stream, views)
    assert shown(cell) == {"before", "bad", "after"}
    assert held(cell.connection) == [("sick", "project/bad", bad, 2)]
    found = {row["id"] for row in cell.connection.execute("SELECT id FROM view_sick").fetchall()}
    assert found == {"before", "after"}
    assert reached(cell) == {cell.store.head()}
    sick.bad.clear()
    assert rebuild(cell.connection, cell.stream, "sick", views) is None
    assert held(cell.connection) == []
    queries = (b"SELECT * FROM view_sick ORDER BY id", b"SELECT * FROM view_projects ORDER BY id")
    one, other = (cell.connection.execute(query).fetchall() for query in queries)
    assert one == other


def test_what_the_database_cannot_keep_is_poison_too(cell: SmallCell) -> None:
    """A NUL in a text: an error of the event, met only when rows are written."""
    bad = create(cell, "bad")

    def fold(row: Any, key: Key, recorded: Recorded) -> Any:
        found = projects.VIEW.fold(row, key, recorded)
        assert found is not None
        return replace(found, id="\0bad") if recorded.position == bad else found

    views = with_view(replace(projects.VIEW, fold=fold))
    create(cell, "after")
    project(cell.connection, cell.stream, views)
    assert shown(cell) == {"after"}
    assert held(cell.connection) == [("projects", "project/bad", bad, 1)]


def test_a_table_that_is_gone_is_no_poison(cell: SmallCell) -> None:
    """It would put every stream in quarantine: the projector fails instead, and says why."""
    create(cell, "one")
    cell.connection.execute("DROP TABLE view_projects")
    with pytest.raises(ViewFailed, match="projects"):
        cell.project()
    assert held(cell.connection) == []


def test_a_discarded_event_is_passed_over_for_ever(cell: SmallCell) -> None:
    """Live after the discard, and in every rebuild: the same rows, without what it said."""
    create(cell, "before")
    bad = create(cell, "bad")
    sick = Fault(projects.VIEW, {bad})
    views = with_view(sick.view)
    project(cell.connection, cell.stream, views)
    assert held(cell.connection) == [("projects", "project/bad", bad, 1)]
    discard(cell.store, "projects", "project/bad", bad)
    create(cell, "after")
    assert rebuild(cell.connection, cell.stream, "projects", views) is None
    project(cell.connection, cell.stream, views)
    assert held(cell.connection) == []
    assert shown(cell) == {"before", "after"}
    live = dump(cell.connection)
    assert rebuild(cell.connection, cell.stream, "projects", views) is None
    assert dump(cell.connection) == live
    cell.connection.execute("UPDATE view_positions SET layout = 'old' WHERE view = 'projects'")
    prepare(cell.connection, views)
    project(cell.connection, cell.stream, views)
    assert dump(cell.connection) == live


def test_a_read_model_that_begins_anew_forgets_what_it_held_back(cell: SmallCell) -> None:
    bad = create(cell, "bad")
    views = with_view(Fault(projects.VIEW, {bad}).view)
    project(cell.connection, cell.stream, views)
    mended = with_view(replace(projects.VIEW, version=projects.VIEW.version + 1))
    prepare(cell.connection, mended)
    project(cell.connection, cell.stream, mended)
    assert held(cell.connection) == []
    assert shown(cell) == {"bad"}


def reference(
    view: View[Any], events: Sequence[Recorded], passed: set[int]
) -> tuple[dict[Key, Any], dict[str, int]]:
    """One read model event by event in memory, and what it holds back from where on."""
    rows: dict[Key, Any] = {}
    back: dict[str, int] = {}
    for event in events:
        if event.position in passed or event.stream in back:
            continue
        try:
            fresh = {key: view.fold(rows.get(key), key, event) for key in view.touches(event)}
        except FAULTS:
            back[event.stream] = event.position
            continue
        rows |= fresh
        rows = {key: row for key, row in rows.items() if row is not None}
    return rows, back


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("name", ["jobs", "nodes", "seats", "intervals"])
def test_rebuild_equals_live_with_poison_and_with_discards(
    dsn: str, store: Store, name: str, seed: int
) -> None:
    """On rows that many streams touch, in portions of any size; then mended: as if never ill."""
    events = history(seed)
    original = next(view for view in VIEWS if view.name == name)
    touching = [e for e in events if list(original.touches(e))]
    bad = {touching[len(touching) // part].position for part in (7, 3, 2)}
    fault = Fault(original, bad)
    views = with_view(fault.view)
    stream = Portions(events, [3, 170, 41])
    with closing(connect(dsn)) as connection:
        prepare(connection, views)
        for passed in (set[int](), {min(bad)}):
            for position in passed:
                discard(store, name, "job/any", position)
                assert rebuild(connection, Portions(events), name, views) is None
            project(connection, stream, views)
            rows, back = reference(fault.view, events, passed)
            assert back
            for _ in range(2):
                assert parsed(dump(connection))[name] == rows
                assert {h[1]: h[2] for h in held(connection)} == back
                assert rebuild(connection, Portions(events), name, views) is None
        first = min(bad)
        fault.bad.clear()
        assert rebuild(connection, Portions(events), name, views) is None
        rows, back = reference(original, events, {first})
        assert parsed(dump(connection))[name] == rows
        assert {h[1]: h[2] for h in held(connection)} == back


def test_a_batch_full_of_poison_is_taken_apart_once(cell: SmallCell) -> None:
    """A hundred streams at once: each held back at its own event, the rest shown."""
    positions = [create(cell, f"p-{n}") for n in range(100)]
    bad = set(positions[::2])
    views = with_view(Fault(projects.VIEW, bad).view)
    project(cell.connection, cell.stream, views)
    assert shown(cell) == {f"p-{n}" for n in range(1, 100, 2)}
    assert {h[2] for h in held(cell.connection)} == bad
    assert {h[0] for h in held(cell.connection)} == {"projects"}
