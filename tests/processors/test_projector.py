"""The projector on a real log: it follows, two are as good as one, and nothing is skipped."""

from __future__ import annotations

import threading
from contextlib import closing

from domain.event import Recorded
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.follow import Bell, PostgresStream
from infra.store import Change, stream_of
from processors.projector import Projector, connect
from projections import projects
from tests.processors.small_cell import META, SmallCell, settle
from tests.projections.tables import dump, folded, parsed, positions

POISON = "project.never_heard_of.v9"


def create(cell: SmallCell, name: str) -> int:
    """A new project; its position."""
    event = Created(ProjectId(name), "")
    [recorded] = cell.store.append([Change(stream_of("project", name), 0, [event], META)])
    return recorded.position


def shown(cell: SmallCell) -> set[str]:
    """The projects that are shown."""
    return {row.id for row in projects.find(cell.connection, None)}


def reached(cell: SmallCell) -> set[int]:
    """How far the read models have come."""
    return set(positions(cell.connection).values())


def rename(cell: SmallCell, position: int, topic: str) -> None:
    """Let a recorded event bear another name."""
    cell.connection.execute(
        "UPDATE stored_events SET topic = %s WHERE notification_id = %s", (topic, position)
    )


def test_what_is_recorded_is_shown_also_after_a_restart(cell: SmallCell) -> None:
    cell.register("node-1")
    cell.submit("first")
    settle(cell.scheduler())
    cell.project()
    cell.start("first")
    cell.submit("second")
    settle(cell.scheduler())
    cell.project()
    events = cell.store.read(0)
    assert parsed(dump(cell.connection)) == folded(events)
    assert reached(cell) == {events[-1].position}


def test_two_at_once_show_what_one_would(cell: SmallCell, dsn: str) -> None:
    """They project small portions of a log that grows, side by side."""
    written = threading.Event()
    failures: list[Exception] = []

    class Small(PostgresStream):
        def read(self, after: int, limit: int) -> list[Recorded]:
            return super().read(after, min(limit, 3))

    def run() -> None:
        with closing(connect(dsn)) as connection, closing(Small(cell.store, Bell(dsn))) as stream:
            projector = Projector(connection, stream)
            try:
                while True:
                    last = written.is_set()
                    if not projector.step() and last:
                        return
            except Exception as error:  # noqa: BLE001 - shown below
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(100):
        create(cell, f"p-{n}")
    written.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert parsed(dump(cell.connection)) == folded(cell.store.read(0))
    assert reached(cell) == {cell.store.head()}
