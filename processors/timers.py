"""Timers: what becomes due by the passing of time, and leases that ran out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from domain.errors import Conflict
from domain.event import Event, Meta
from domain.job import job as jobs
from domain.job.job import Job
from domain.node import node as nodes
from domain.node.node import Node
from domain.values.time import SECOND
from infra import leases
from infra.recorder import Epoch
from infra.store import Store, stream_of
from projections import jobs as job_view
from projections import policy as policy_view

ROLE = "timers"
TICK_SECONDS = 0.25

log = logging.getLogger(__name__)


class Timers:
    """One leader's working life. Views only say where to look: the aggregate decides."""

    def __init__(
        self, store: Store, connection: psycopg.Connection[dict[str, Any]], epoch: Epoch
    ) -> None:
        self._store = store
        self._connection = connection
        self._epoch = epoch

    def run(self) -> None:
        """Tick for ever; StaleWriter ends it when another leader took over."""
        while True:
            self.tick()
            time.sleep(TICK_SECONDS)  # timers have nothing to wait for but time

    def tick(self) -> None:
        """Act on everything that is due now."""
        now = self._store.now()
        due = job_view.due(self._connection, now)
        for job in due.retries:
            self._job(job, lambda state: jobs.retry_due(state, now))
        for job in due.graces:
            self._job(job, lambda state: jobs.expire_grace(state, now))
        for job in due.limits:
            self._job(job, lambda state: self._reach_limit(state, now))
        for node, boot in leases.expire(self._connection):
            self._lose(node, boot)

    def _reach_limit(self, job: Job, now: int) -> Sequence[Event]:
        grace = job.spec.grace_seconds
        if grace is None:
            grace = policy_view.get(self._connection).scheduler.grace_seconds
        return jobs.reach_limit(job, now, now + grace * SECOND)

    def _job(self, job: str, command: Callable[[Job], Sequence[Event]]) -> None:
        stream = stream_of("job", job)
        state, _ = self._store.load(stream, jobs.evolve, None)
        assert state is not None, "the view lists jobs that were submitted"

        def decide(current: Job | None) -> Sequence[Event]:
            assert current is not None
            return command(current)

        meta = Meta(ROLE, f"timer:{stream}", job, state.spec.project)
        try:
            self._store.execute(stream, jobs.evolve, None, decide, meta, epoch=self._epoch)
        except Conflict as refusal:
            log.debug("%s: no longer due: %s", job, refusal)

    def _lose(self, node: str, boot: str) -> None:
        def decide(current: Node | None) -> Sequence[Event]:
            return [] if current is None else nodes.lose(current, boot)

        meta = Meta(ROLE, f"lease:{node}", node)
        stream = stream_of("node", node)
        self._store.execute(stream, nodes.evolve, None, decide, meta, epoch=self._epoch)
        leases.settle(self._connection, node, boot)
        log.warning("node %s: its lease ran out", node)
