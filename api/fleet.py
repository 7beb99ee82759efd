"""The fleet as submissions are judged by: kept in memory, read anew only where it changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from domain.errors import Invalid
from domain.job.spec import JobSpec
from domain.node.events import Registered
from domain.policy.policy import Policy
from domain.scheduling import admission
from domain.scheduling.admission import Fleet
from projections import inventory as inventory_view
from projections import nodes as node_view
from projections import policy as policy_view
from projections.nodes import NodeRow
from projections.view import Reader

SHARE = 20
"""At most one part in so many of the time goes into making the fleet anew."""


class KnownFleet:
    """What the read models know of nodes; each submission asks only whether that changed.

    While nodes come in their thousands, one that was just made may be used a little longer; nobody
    is refused by it: before that it is made anew.
    """

    def __init__(self, connection: Callable[[], AbstractContextManager[Reader]]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._rows: dict[str, NodeRow] = {}
        self._seen = (0, 0)
        self._parts: tuple[dict[str, Registered], bool, Policy] | None = None
        self._fleet = Fleet((), Policy(), alive=False)
        self._rest_until = 0.0

    def lately(self, connection: Reader) -> Fleet:
        """The fleet as the read models have it, or lately had it."""
        return self._current(connection, time.monotonic())

    def admit(self, fleet: Fleet, spec: JobSpec, now: int) -> None:
        """Refuse a job that can never run on the fleet, or not by its deadline."""
        try:
            admission.admit(spec, fleet, now)
        except Invalid:
            with self._connection() as connection:
                fleet = self._current(connection, None)
            admission.admit(spec, fleet, now)

    def _current(self, connection: Reader, clock: float | None) -> Fleet:
        """As it is, or while it rests at that `clock` as it was."""
        newest = node_view.newest(connection)
        with self._lock:
            resting = clock is not None and clock < self._rest_until
            if newest != self._seen and not resting:
                self._read(connection, newest)
            return self._fleet

    def _read(self, connection: Reader, newest: tuple[int, int]) -> None:
        begun = time.monotonic()
        for row in node_view.changed(connection, self._seen[0]):
            self._rows[row.id] = row
        policy = replace(policy_view.get(connection), inventory=inventory_view.get(connection))
        offers = {row.id: row.offer for row in self._rows.values()}
        parts = (offers, any(row.alive for row in self._rows.values()), policy)
        if parts != self._parts:
            self._parts = parts
            self._fleet = Fleet(offers.values(), policy, alive=parts[1])
        self._seen = newest
        ended = time.monotonic()
        self._rest_until = ended + SHARE * (ended - begun)
