"""The projector's threads: all read models in one, those that hold the others up in their own.

In step they share what is read of the log, one transaction and one wake-up for each batch; so a
read model that is slow, or whose table fails, would be the pace of all. Some are known to be much
work and are projected elsewhere from the beginning, each in a process of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import psycopg

from domain.errors import Refusal
from processors.isolate import ViewFailed
from processors.projector import BATCH, Projector
from projections.view import View

WINDOW_SECONDS = 2.0
"""So much work is looked at to tell who is slow."""
WAIT_SECONDS = 1.0
RETRY_SECONDS = 1.0
LONGEST_SECONDS = 30.0
log = logging.getLogger(__name__)


class LaneEnded(Exception):
    """The process that projected a read model ended; it said why."""


WEATHER = (Refusal, LaneEnded, psycopg.OperationalError)
"""What is no fault of the code, such as a database that goes away: a line says so."""
Open = Callable[[Sequence[View[Any]]], AbstractContextManager[Projector]]
"""Opens a projector of these read models, with connections of its own."""
Far = Callable[[threading.Event], None]
"""Projects a read model elsewhere until the event is set, or raises."""


def holds_up(spent: Mapping[str, float]) -> str | None:
    """The read model that took more time than all others together, once there is enough to tell."""
    total = sum(spent.values())
    if total < WINDOW_SECONDS or len(spent) < 2:
        return None
    slowest = max(spent, key=lambda name: spent[name])
    return slowest if 2 * spent[slowest] > total else None


class Lanes:
    """One process's projectors. What is taken out of step stays out until the process ends."""

    def __init__(
        self, open_lane: Open, views: Sequence[View[Any]], far: Mapping[str, Far] | None = None
    ) -> None:
        """`far` are those to be projected elsewhere, by name."""
        self._open = open_lane
        self._views = list(views)
        self._far = far or {}
        self._stop = threading.Event()
        self._apart: list[threading.Thread] = []

    def run(self) -> None:
        """Project until the lane of all fails; then the others end too."""
        try:
            for name, project in self._far.items():
                self._take_out(name)
                self._begin(name, partial(project, self._stop))
            with self._open(self._views) as projector:
                while True:
                    self._turn(projector)
        finally:
            self._stop.set()
            for thread in self._apart:
                thread.join()

    def _turn(self, projector: Projector) -> None:
        try:
            found = projector.step()
        except ViewFailed as failure:
            if len(self._views) == 1:
                raise
            log.error("%s fails and is projected apart: %s", failure.view, failure.__cause__)
            self._set_apart(projector, failure.view)
            return
        spent = projector.spent
        if sum(spent.values()) >= WINDOW_SECONDS:
            slow = holds_up(spent)
            if slow is not None:
                log.warning("%s is slow and is projected apart", slow)
                self._set_apart(projector, slow)
            spent.clear()
        if found < BATCH:
            projector.wait(WAIT_SECONDS)

    def _set_apart(self, projector: Projector, name: str) -> None:
        view = self._take_out(name)
        projector.only(self._views)
        self._begin(name, partial(self._alone, view))

    def _take_out(self, name: str) -> View[Any]:
        [view] = [view for view in self._views if view.name == name]
        self._views.remove(view)
        return view

    def _begin(self, name: str, project: Callable[[], None]) -> None:
        thread = threading.Thread(
            target=self._keep, args=(name, project), name=f"projector-{name}", daemon=True
        )
        self._apart.append(thread)
        thread.start()

    def _keep(self, name: str, project: Callable[[], None]) -> None:
        """Project again whenever it failed."""
        pause = RETRY_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                project()
            except WEATHER as weather:
                log.warning("projector of %s: %s", name, weather)
            except Exception:  # a failure of any kind must not end the supervision
                log.exception("the projector of %s failed and starts anew", name)
            pause = RETRY_SECONDS if time.monotonic() - began > LONGEST_SECONDS else 2 * pause
            self._stop.wait(min(pause, LONGEST_SECONDS))

    def _alone(self, view: View[Any]) -> None:
        with self._open([view]) as projector:
            while not self._stop.is_set():
                if projector.step() < BATCH:
                    projector.wait(WAIT_SECONDS)
