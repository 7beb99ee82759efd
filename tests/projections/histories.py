"""Histories of whole cells: simulated ones, with what administrators decide strewn in."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from random import Random

from domain.access import Role
from domain.event import Event, Meta, Recorded, StreamId
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.events import Created, MemberRemoved, MemberSet
from domain.token.events import Issued, ProjectRole, Revoked
from domain.values.ids import ProjectId, TokenId
from tests.simulation.users import PROJECTS
from tests.simulation.world import World

SEEDS = (1, 2, 3, 4, 5, 13)


@cache
def history(seed: int) -> tuple[Recorded, ...]:
    """The log of a simulated cell with faults, decisions of administrators in between."""
    logging.disable()
    world = World(seed)
    outcome = world.run()
    logging.disable(logging.NOTSET)
    assert outcome.violation is None, outcome.violation
    luck = Random(f"administrators {seed}")
    simulated = world.log.read(0, 10**9)
    begin = simulated[0].recorded_at
    found = [_decided(begin, StreamId(f"project/{p}"), Created(p, "")) for p in PROJECTS]
    decisions = _decisions(luck)
    for recorded in simulated:
        if luck.random() < 0.02 and (decision := next(decisions, None)):
            found.append(_decided(recorded.recorded_at, *decision))
        found.append(recorded)
    found += [_decided(found[-1].recorded_at, *decision) for decision in decisions]
    return tuple(_numbered(found, luck))


def _decided(at: int, stream: StreamId, event: Event) -> Recorded:
    return Recorded(0, stream, 0, at, Meta("root", "command:1", "trace-1"), None, event)


def _numbered(events: list[Recorded], luck: Random) -> Iterator[Recorded]:
    """The events with versions and with positions that leave gaps, as refused appends do."""
    position, versions = 0, Counter[StreamId]()
    for recorded in events:
        position += luck.choice((1, 1, 1, 2, 7))
        versions[recorded.stream] += 1
        yield replace(recorded, position=position, version=versions[recorded.stream])


def _decisions(luck: Random) -> Iterator[tuple[StreamId, Event]]:
    for number in range(4):
        gpus = (GpuPrice("A100", luck.randrange(10**7)),) if number % 2 else ()
        cpu, memory, gpu = (luck.randrange(10**6) for _ in range(3))
        yield StreamId("policy/cell"), PricesSet(PriceList("EUR", cpu, memory, gpu, gpus))
        project = StreamId(f"project/{PROJECTS[number % 2]}")
        yield project, MemberSet(f"user-{number}", Role.VIEWER)
        yield project, MemberSet(f"user-{number}", Role.SUBMITTER)
        if number > 1:
            yield project, MemberRemoved(f"user-{number}")
        token = TokenId(f"token-{number}")
        grants = (ProjectRole(ProjectId(PROJECTS[0]), Role.VIEWER),)
        yield (
            StreamId(f"token/{token}"),
            Issued(token, f"{number:064x}", "ada", (Role.OPERATOR,), grants, None, None),
        )
        if number % 2:
            yield StreamId(f"token/{token}"), Revoked("lost")


class Replay:
    """The port `EventStream` on a history; gives as many events at a time as luck has it."""

    def __init__(self, events: tuple[Recorded, ...], luck: Random, most: int = 1000) -> None:
        self._events = events
        self._luck = luck
        self._most = most

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Some events above `after`, in log order."""
        size = self._luck.randint(1, min(limit, self._most))
        return [r for r in self._events if r.position > after][:size]

    def wait(self, seconds: float) -> None:
        """Nothing comes later."""
