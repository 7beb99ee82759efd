"""Faults that wait for the worst moment: each brings about what some guard is there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from domain.allocation.events import AllocationEvent, Granted, SeatEnded, SeatStarted
from domain.event import Recorded
from domain.job.events import Queued
from domain.node.events import Lost
from domain.values.time import MILLISECOND, SECOND
from tests.simulation import outages
from tests.simulation.outages import span

if TYPE_CHECKING:
    from tests.simulation.world import World

FAR = 60 * SECOND
Watcher = Callable[[Recorded], bool]
"""Told of every event; whether it has seen what it waited for."""
Luck = Callable[[str, float], Random | None]
"""The random numbers of a fault of this name that comes with such a chance, if it comes now."""
Operate = Callable[[str, str], None]

NAMES = ("failover-at-start", "cut-at-grant", "clock-at-start")


class Moments:
    """What may go wrong as a job is queued, is placed and starts."""

    def __init__(self, world: World, luck: Luck, operate: Operate) -> None:
        self._world, self._luck, self._operate = world, luck, operate
        self._watching: list[Watcher] = []

    def recorded(self, batch: Sequence[Recorded]) -> None:
        """Something happened that a fault may wait for, or that may bring one on."""
        for item in batch:
            self._watching = [each for each in self._watching if not each(item)]
            if isinstance(item.event, Queued | Granted):
                chance = 0.06 if isinstance(item.event, Granted) else 0.02
                random = self._luck("failover-at-start", chance)
                if random is not None:
                    self._fail_over_at_start(item, random)
            if isinstance(item.event, Granted):
                random = self._luck("cut-at-grant", 0.04)
                if random is not None:
                    self._cut_off(str(random.choice(item.event.seats).node), random)
            if isinstance(item.event, SeatStarted):
                random = self._luck("clock-at-start", 0.03)
                if random is not None:
                    outages.clock_steps(self._world, random, 60_000)

    def _fail_over_at_start(self, item: Recorded, random: Random) -> None:
        """The standby knows that a job waits, or has a place; not what came of it meanwhile.

        It started; or it ended; or it was moved, from that place to another, and started there.
        """
        world, event, left = self._world, item.event, ""
        if world.failing:
            return
        awaited: type[AllocationEvent] = SeatStarted
        job = event.job if isinstance(event, Granted) else item.stream.partition("/")[2]
        soon = random.choice((20, 300, 3000))
        case = random.randrange(8) if isinstance(event, Granted) else 7
        if isinstance(event, Granted) and case < 4:
            left, node = event.allocation, str(event.seats[0].node)
            delay = random.randrange(1500) * MILLISECOND
            world.loop.after(delay, lambda: self._operate(node, "drain"))
        elif case < 7:
            awaited, soon = SeatEnded, 20
        die = outages.fall_behind(world, random)
        cut, lasts = random.random() < 0.8, 15 * SECOND + span(random, 10_000)

        def seen(item: Recorded) -> bool:
            if not world.failing or not isinstance(item.event, awaited):
                return not world.failing
            allocation = world.checker.allocations[item.stream.partition("/")[2]]
            if allocation.job != job or allocation.id == left:
                return False
            world.loop.after(random.randrange(soon) * MILLISECOND, die)
            for seat in allocation.seats if cut and awaited is SeatStarted else ():
                outages.cut_off(world, str(seat.node), world.loop.now + lasts)
            return True

        self._watching.append(seen)
        world.loop.after((25 if left else 10) * SECOND, die)

    def _cut_off(self, node: str, random: Random) -> None:
        """A node is cut off as it gets a seat, until it is lost; read models hear of that late."""
        world, stalls, back = self._world, span(random, 12_000), span(random, 3000)
        outages.cut_off(world, node, world.loop.now + FAR)

        def lost(item: Recorded) -> bool:
            if not isinstance(item.event, Lost) or item.stream.partition("/")[2] != node:
                return False
            world.loop.after(0, partial(outages.projector_stalls, world, stalls))
            outages.cut_off(world, node, world.loop.now + back)
            return True

        self._watching.append(lost)
