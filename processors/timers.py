"""Timers: what becomes due by the passing of time, and leases that ran out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from domain.errors import Conflict, StaleWriter
from domain.event import Event, Meta
from domain.job import job as jobs
from domain.job.job import Job
from domain.node import node as nodes
from domain.node.events import Lost
from domain.node.flapping import WITHIN, Others
from domain.node.node import Node
from domain.values.time import SECOND
from infra.codec import Poison, UnknownEvent
from infra.failpoint import failpoint
from infra.recorder import Epoch
from infra.store import Log, stream_of
from processors.steady import Steady
from projections.jobs import Due

ROLE = "timers"
TICK_SECONDS = 0.25

log = logging.getLogger(__name__)


class Watch(Protocol):
    """The port through which timers learn where to look."""

    def due(self, now: int) -> Due:
        """Jobs something is due for, as far as the read models have come."""

    def grace_seconds(self) -> int:
        """The policy's grace for jobs that have no wish of their own."""

    def expire_leases(self) -> list[tuple[str, str]]:
        """Close leases that ran out; all (node, session) whose loss is not settled yet."""

    def settle_lease(self, node: str, session: str) -> None:
        """The loss is recorded in the log: do not report it again."""

    def cordons_over(self, now: int) -> list[str]:
        """The nodes that are cordoned until a time that has come."""

    def others(self, node: str) -> Others:
        """The nodes beside this one, as far as the read models have come."""

    def held_back(self, found: Sequence[Poison]) -> None:
        """These events, and no others, keep timers from acting on their streams."""


class Timers:
    """One leader's working life. Views only say where to look: the aggregate decides."""

    def __init__(
        self,
        store: Log,
        watch: Watch,
        epoch: Epoch,
        lease_us: int = 0,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        """`lease_us` is the longest a lease lasts, with its margin; `clock` is nobody's to set."""
        self._store = store
        self._watch = watch
        self._epoch = epoch
        self._clock, self._steady = clock, Steady(lease_us)
        self._bad: dict[str, Poison] = {}
        self._told: dict[str, Poison] | None = None

    def run(self) -> None:
        """Tick for ever; StaleWriter ends it when another leader took over."""
        while True:
            self.tick()
            time.sleep(TICK_SECONDS)  # timers have nothing to wait for but time

    def tick(self) -> None:
        """Act on everything that is due now.

        What cannot be read is left as it is, told of, and keeps no other from its turn.
        """
        before, now = self._clock(), self._store.now()
        steady = self._steady.look(before, now, self._clock())
        self._bad = {}
        due = self._watch.due(now)
        for job in due.retries:
            with self._readable():
                self._job(job, lambda state: jobs.retry_due(state, now))
        for job in due.graces:
            with self._readable():
                self._job(job, lambda state: jobs.expire_grace(state, now))
        for job in due.limits:
            with self._readable():
                self._job(job, lambda state: self._reach_limit(state, now))
        for node, session in self._watch.expire_leases() if steady else ():
            with self._readable():
                self._lose(node, session, now)
        for node in self._watch.cordons_over(now):
            with self._readable():
                self._node(node, "cordon", lambda state: nodes.end_cordon(state, now))
        if self._bad != self._told:
            self._watch.held_back(list(self._bad.values()))
            self._told = self._bad

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except UnknownEvent as error:
            self._bad[error.poison.stream] = error.poison

    def _reach_limit(self, job: Job, now: int) -> Sequence[Event]:
        grace = job.spec.grace_seconds
        if grace is None:
            grace = self._watch.grace_seconds()
        return jobs.reach_limit(job, now, now + grace * SECOND)

    def _job(self, job: str, command: Callable[[Job], Sequence[Event]]) -> None:
        stream = stream_of("job", job)
        state, _ = self._store.load(stream, jobs.evolve, None)
        assert state is not None, "the view lists jobs that were submitted"

        def decide(current: Job | None) -> Sequence[Event]:
            assert current is not None
            return command(current)

        meta = Meta(ROLE, f"timer:{stream}", job, state.spec.project)
        failpoint("timers.due")
        try:
            self._store.execute(stream, jobs.evolve, None, decide, meta, epoch=self._epoch)
            failpoint("timers.recorded")
        except StaleWriter:
            raise
        except Conflict as refusal:
            log.debug("%s: no longer due: %s", job, refusal)

    def _lose(self, node: str, session: str, now: int) -> None:
        events = self._store.stream(stream_of("node", node))
        lost = [each.recorded_at for each in events if isinstance(each.event, Lost)]
        losses, others = 1 + sum(at > now - WITHIN for at in lost), self._watch.others(node)

        def command(state: Node) -> Sequence[Event]:
            found = nodes.lose(state, session)
            return [*found, *nodes.hold_off(state, losses, others, now)] if found else []

        self._node(node, "lease", command)
        failpoint("timers.node_lost")
        self._watch.settle_lease(node, session)

    def _node(self, node: str, cause: str, command: Callable[[Node], Sequence[Event]]) -> None:
        def decide(current: Node | None) -> Sequence[Event]:
            return [] if current is None else command(current)

        meta = Meta(ROLE, f"{cause}:{node}", node)
        stream = stream_of("node", node)
        self._store.execute(stream, nodes.evolve, None, decide, meta, epoch=self._epoch)
