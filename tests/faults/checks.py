"""What must hold after every fault: the invariants on the real log, views as if rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from domain.event import Recorded
from infra.store import Store
from processors.projector import connect
from tests.faults.cell import until
from tests.projections.tables import dump, folded, parsed, positions
from tests.simulation.invariants import Checker
from tests.simulation.loop import Loop, Trace


def check_history(store: Store) -> list[Recorded]:
    """The invariants of the simulation, on a real log; the log."""
    events = store.read(0, 1_000_000)
    checker = Checker(Trace(Loop()), {})
    for _, batch in groupby(events, key=lambda item: (item.recorded_at, item.epoch)):
        checker.recorded(list(batch), None, None)
    check_epochs(events)
    return events


def check_epochs(events: Sequence[Recorded]) -> None:
    """No leader wrote after another of its role had."""
    newest: dict[str, int] = {}
    for item in events:
        if item.epoch is not None:
            assert item.epoch >= newest.get(item.meta.actor, 0), item
            newest[item.meta.actor] = item.epoch


def check_views(dsn: str, store: Store) -> None:
    """Every read model is the fold of the log (I8); a projector must be running."""
    with connect(dsn) as connection:
        head = store.head()
        until(lambda: min(positions(connection).values()) >= head, f"views at {head}")
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reached = set(positions(connection).values())
            found = parsed(dump(connection))
    assert len(reached) == 1, reached
    [at] = reached
    assert found == folded([item for item in store.read(0, 1_000_000) if item.position <= at])
