"""The cell's API over the simulated log: the product's commands, facts, leases and orders."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from pydantic import TypeAdapter

from agents import wire
from api.after import ends_of
from api.agents import wire_order
from api.command import Command, Key, Replay
from api.facts import Fact, record_facts
from domain.errors import NotFound, Unavailable
from domain.event import Event, Meta
from domain.job import job as jobs
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.node import node as nodes
from domain.node.events import Registered
from domain.values.ids import JobId, NodeId, make_id
from domain.values.time import MILLISECOND, SECOND
from infra.recorder import Session
from infra.space import Space
from infra.store import Change, stream_of
from tests.simulation.database import Database
from tests.simulation.guards import Guard
from tests.simulation.leases import MemoryLeases
from tests.simulation.loop import Loop
from tests.simulation.network import Reply
from tests.simulation.views import LiveViews

TTL_MS = 20_000
Decide = Callable[[Job, int, int], Sequence[Event]]
_FACTS: TypeAdapter[list[Fact]] = TypeAdapter(list[Fact])


class CellApi:
    """What the routes of `api/` do, each in one simulated request."""

    def __init__(
        self,
        log: Database,
        leases: MemoryLeases,
        views: LiveViews,
        loop: Loop,
        random: Random,
        off: frozenset[Guard],
    ) -> None:
        self._log, self._leases, self._views = log, leases, views
        self._loop, self._random, self._off = loop, random, off
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self.registering: Callable[[str], None] = lambda _: None

    def changed(self, concerned: set[str]) -> None:
        """Read models changed for these nodes: look again for those that wait."""
        for node in sorted(concerned):
            self._look_within(node, 10)

    def look_again(self) -> None:
        """Whoever waits asks the database every second, also when nothing changes."""
        for node in sorted(self._waiting):
            self._look_within(node, 1000)

    def _look_within(self, node: str, most_ms: int) -> None:
        for look in self._waiting.pop(node, ()):
            self._loop.after(self._random.randrange(1, most_ms) * MILLISECOND, look)

    def submit(self, name: str, spec: JobSpec, key: str, reply: Reply) -> None:
        """POST /jobs."""
        now = self._log.now()
        job = JobId(make_id("job", now, self._random.getrandbits(80)))
        stream = stream_of("job", job)
        self._keyed(
            key,
            reply,
            spec.project,
            lambda command: command.append(
                [
                    Change(
                        stream,
                        0,
                        jobs.submit(job, spec, name, now, ends_of(command.store, spec)),
                        command.meta,
                    )
                ],
                {"id": job},
            ),
        )

    def control(self, job: str, decide: Decide, key: str, reply: Reply) -> None:
        """POST /jobs/{job}/..."""
        now = self._log.now()
        stream = stream_of("job", job)
        state, _ = self._log.load(stream, jobs.evolve, None)
        if state is None:
            raise NotFound("no_such_job", "a failover lost it")
        wish = state.spec.grace_seconds
        grace = self._views.grace_seconds() if wish is None else wish

        def run(current: Job | None) -> Sequence[Event]:
            assert current is not None
            return decide(current, now, now + grace * SECOND)

        self._keyed(
            key,
            reply,
            state.spec.project,
            lambda command: command.execute(stream, jobs.evolve, None, run, lambda _: {}),
        )

    def _keyed(self, key: str, reply: Reply, project: str, act: Callable[[Command], Any]) -> None:
        caller = SimpleNamespace(
            principal=SimpleNamespace(name="user"),
            cell=SimpleNamespace(store=self._log, space=Space(None, 0, dict)),
            request_id=key,
        )
        with contextlib.suppress(Replay):
            act(Command(cast(Any, caller), Key(key, key), project, 201))
        reply("done")

    def operate(
        self, node: str, decide: Callable[[nodes.Node], Sequence[Event]], reply: Reply
    ) -> None:
        """POST /nodes/{node}/cordon and the like."""

        def run(current: nodes.Node | None) -> Sequence[Event]:
            return [] if current is None else decide(current)

        meta = Meta("operator", "command:operate", node)
        self._log.execute(stream_of("node", node), nodes.evolve, None, run, meta)
        reply("done")

    def register(self, offer: Registered, reply: Reply) -> None:
        """POST /agent/register."""
        nodes.register(None, offer)
        nonce = f"n{self._random.getrandbits(64)}"
        self._log.reach()
        session = self._leases.take(offer.node, offer.boot, nonce, TTL_MS)
        self.registering(offer.node)
        offer = replace(offer, boot=session)
        meta = Meta("agent", "command:register", offer.node)
        self._log.execute(
            stream_of("node", offer.node),
            nodes.evolve,
            None,
            lambda state: nodes.register(state, offer),
            meta,
            session=Session(offer.node, nonce),
        )
        reply(wire.Registered(wire.Lease(nonce, TTL_MS), self._log.now()))

    def lease(
        self, node: str, boot: str, nonce: str, seen: str, wait_ms: int, reply: Reply
    ) -> None:
        """POST /agent/lease: renew, then answer when the orders are not as `seen`."""
        fresh, until = f"n{self._random.getrandbits(64)}", self._loop.now + wait_ms * MILLISECOND
        self._log.reach()
        session = self._leases.renew(node, boot, nonce, fresh, TTL_MS)
        answered = False

        def look() -> None:
            nonlocal answered
            if answered:
                return
            try:
                self._log.reach()
            except Unavailable as refusal:
                answered = True
                reply(refusal)
                return
            found = self._views.orders(node, None if Guard.ORDER_SESSION in self._off else session)
            held = self._log.held() and Guard.START_HELD not in self._off
            orders = [wire_order(order, held) for order in found]
            now_seen = hashlib.sha256(msgspec.json.encode(orders)).hexdigest()[:32]
            if now_seen == seen and self._loop.now < until:
                self._waiting.setdefault(node, []).append(look)
                return
            answered = True
            body = {
                "lease": {"nonce": fresh, "ttl_ms": TTL_MS},
                "now_us": self._log.now(),
                "seen": now_seen,
                "orders": orders,
            }
            reply(msgspec.convert(body, wire.Orders))

        look()
        if not answered:
            self._loop.at(until, look)

    def report(self, node: str, boot: str, facts: Sequence[wire.Fact], reply: Reply) -> None:
        """POST /agent/report."""
        meta = Meta("agent", "command:report", node)
        given = _FACTS.validate_json(msgspec.json.encode(facts))
        session = self._leases.session(node, boot)
        results = record_facts(self._log, NodeId(node), session, given, meta)
        reply([wire.FactResult(r.status, r.code, r.detail) for r in results])
