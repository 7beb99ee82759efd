"""Folding where an event fails: its stream is held back for that read model, all else goes on.

Later events of the stream are not folded until the read model is built anew, which takes them in
their order in the log: rows that several streams touch, and their history, come out as if nothing
had failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from domain.event import Event, Recorded
from domain.event import events as known_events
from infra import quarantine
from infra.codec import FAULTS, Poison, poison
from infra.quarantine import Connection
from projections.view import View

Fold = Callable[[Connection, View[Any], Sequence[Recorded]], None]


def is_poison(error: BaseException) -> bool:
    """Whether the event or the fold is at fault, and not the database's weather."""
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return isinstance(error, FAULTS)


class ViewFailed(Exception):
    """A read model's table could not be used, for a reason that is not the event's."""

    def __init__(self, view: str) -> None:
        super().__init__(f"the table of {view} cannot be used")
        self.view = view


@contextmanager
def _named(view: View[Any]) -> Iterator[None]:
    """Say whose table it is that fails; a lost connection is nobody's, and poison the event's."""
    try:
        yield
    except psycopg.Error as error:
        if is_poison(error) or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            raise
        raise ViewFailed(view.name) from error


class Isolated:
    """The folding of some read models by `fold`, past what is discarded and held back.

    `names` says under which name the log keeps what a read model discards, where it is not its
    own: that of a table beside is the read model's.
    """

    def __init__(
        self,
        connection: Connection,
        views: Sequence[View[Any]],
        fold: Fold,
        names: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spent: dict[str, float] = {}
        """Seconds that each read model took."""
        self._clock = clock
        self._connection = connection
        self._views = views
        self._fold = fold
        names = names or {}
        self._discarded = {
            view.name: quarantine.discarded(connection, names.get(view.name, view.name))
            for view in views
        }

    def take(
        self, events: Sequence[Recorded], reached: dict[str, int], fold: Fold | None = None
    ) -> None:
        """Fold events into each read model that has not come so far; the caller has a transaction.

        With a `fold` by that, which raises what failed; else with care: the events that fail are
        found, and their streams held back.
        """
        fold = fold or self._carefully
        held = quarantine.held(self._connection, reached, (each.stream for each in events))
        about = self._sort(events)
        for view in self._views:
            passed, after = self._discarded[view.name], reached[view.name]
            fresh = about[view.name]
            if passed or held or (fresh and fresh[0].position <= after):
                fresh = [
                    r
                    for r in fresh
                    if r.position > after
                    and r.position not in passed
                    and (view.name, r.stream) not in held
                ]
            if fresh:
                began = self._clock()
                with _named(view):
                    fold(self._connection, view, fresh)
                self.spent[view.name] = self.spent.get(view.name, 0) + self._clock() - began

    def _sort(self, events: Sequence[Recorded]) -> dict[str, list[Recorded]]:
        """The events that each read model is about, in one pass over all."""
        found: dict[str, list[Recorded]] = {view.name: [] for view in self._views}
        about: dict[type[Event], list[list[Recorded]]] = {}
        for view in self._views:
            for kind in view.on:
                about.setdefault(kind, []).append(found[view.name])
        for recorded in events:
            for wanted in about.get(recorded.event.__class__, ()):
                wanted.append(recorded)
        return found

    def only(self, views: Sequence[View[Any]]) -> None:
        """Leave all other read models to somebody else."""
        self._views = list(views)
        self.spent = {}

    def refuse(self, bad: Poison, reached: dict[str, int]) -> None:
        """Hold the stream of an unreadable event back, for whom it is news and not discarded.

        Of a known kind it is of no concern to read models that are not about it.
        """
        held = quarantine.held(self._connection, reached, [bad.stream])
        kind = known_events().get(bad.name)
        for view in self._views:
            known = (view.name, bad.stream) in held or reached[view.name] >= bad.position
            known = known or (kind is not None and kind not in view.on)
            if not known and bad.position not in self._discarded[view.name]:
                quarantine.enter(self._connection, view.name, bad)

    def _carefully(
        self, _connection: Connection, view: View[Any], events: Sequence[Recorded]
    ) -> None:
        self._divide(view, events, set())

    def _divide(self, view: View[Any], events: Sequence[Recorded], held: set[str]) -> None:
        """Fold in order, halving what fails until the bad event is alone; `held` grows by it."""
        events = [recorded for recorded in events if recorded.stream not in held]
        error = self._try(view, events) if events else None
        if error is None:
            return
        if len(events) == 1:
            held.add(events[0].stream)
            quarantine.enter(self._connection, view.name, poison(events[0], error))
            return
        middle = len(events) // 2
        self._divide(view, events[:middle], held)
        self._divide(view, events[middle:], held)

    def _try(self, view: View[Any], events: Sequence[Recorded]) -> Exception | None:
        """Fold them whole, or change nothing and say what failed."""
        try:
            with self._connection.transaction():
                self._fold(self._connection, view, events)
        except Exception as error:
            if not is_poison(error):
                raise
            return error
        return None
