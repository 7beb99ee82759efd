"""Folding events into rows, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from domain.event import Recorded
from projections.view import Changes, Key, R, Version, View

Load = Callable[[Sequence[Key]], dict[Key, R]]


def fold(view: View[R], events: Iterable[Recorded], load: Load[R]) -> Changes[R]:
    """What events of the kinds a view is about do to its rows; `load` gives those there are."""
    touched = [(recorded, list(view.touches(recorded))) for recorded in events]
    known = _known(view, touched)
    after: dict[Key, R] = load(known) if known else {}
    before = dict(after)
    closed: list[Version[R]] = []
    for recorded, keys in touched:
        fold_event(view, after, keys, recorded, closed)
    return Changes(before, after, closed)


def fold_event(
    view: View[R],
    rows: dict[Key, R],
    keys: Iterable[Key],
    recorded: Recorded,
    closed: list[Version[R]],
) -> None:
    """Bring the rows of these keys forward by one event; versions it replaces go to `closed`."""
    for key in keys:
        old = rows.get(key)
        new = view.fold(old, key, recorded)
        if new is old:
            continue
        if old is not None:
            closed.append((old, recorded.position))
        if new is None:
            del rows[key]
        else:
            rows[key] = new


def _known(view: View[Any], touched: Iterable[tuple[Recorded, list[Key]]]) -> list[Key]:
    """The keys whose rows may be there already, in order."""
    begun = dict[Key, bool]()
    for recorded, keys in touched:
        begins = recorded.event.__class__ in view.begins
        for key in keys:
            begun.setdefault(key, begins)
    return sorted(key for key, begins in begun.items() if not begins)
