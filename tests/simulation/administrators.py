"""Administrators: they reserve, plan works, set budgets and prices, let priorities be inherited.

And they move jobs that run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from domain.errors import Conflict, Refusal
from domain.job import job as jobs
from domain.job.events import JobEvent
from domain.job.job import Job
from domain.job.migrate import migrate, pending, withdraw
from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.budget import EACH_USER, Budget, Per
from domain.project.events import BudgetsSet, InheritanceSet
from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.reservation import Reservation
from domain.reservation.schedule import Schedule
from domain.values.ids import JobId, NodeId
from domain.values.resources import Resources
from domain.values.time import SECOND
from infra.codec import UnknownEvent
from infra.store import stream_of
from tests.simulation.plan import Plan
from tests.simulation.users import GIB, PROJECTS, USERS

if TYPE_CHECKING:
    from tests.simulation.world import World

COSTS = 1_000_000
"""What an hour of a GPU costs before a sale, in micro-units of money."""
PAYS = 150_000
"""One that is to take 30 s is given 332, and so costs 92,222."""
EPOCH = 1_800_000_000 * SECOND
"""No world begins before."""
EVERY = 3600
LONGEST = 500 * SECOND
"""By then every window is over."""


def begins_at(plan: Plan) -> int:
    """The time at which a world begins: where budgets are set, a day ends in it."""
    if not has(plan, "budget"):
        return EPOCH
    return EPOCH + (16 * 3600 - plan.random("epoch").randrange(500)) * SECOND


def has(plan: Plan, kind: str) -> bool:
    """Whether administrators of this seed do such things at all."""
    if kind == "price" and has(plan, "budget"):
        return True
    return plan.random(kind).random() < 0.4


class Administrators:
    """Each world has some of what they do; each thing they do has random numbers of its own."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan

    def begin(self, until: int) -> None:
        """Plan what is done before that time."""
        for kind, least, most, act in (
            ("reservation", 1, 4, self._reserve),
            ("budget", 1, 3, self._budget),
            ("price", 3, 9, self._price),
            ("elsewhere", 5, 20, self._migrate),
            ("sale", 2, 3, self._sale),
        ):
            if has(self._plan, kind):
                random = self._plan.random(f"{kind}s")
                for number in range(1, random.randrange(least, most) + 1):
                    at = random.randrange(until if number > 1 else until // 4)
                    self._world.loop.at(at, partial(self._do, f"{kind}#{number}", act))
        if has(self._plan, "inheritance") and self._plan.has("inheritance"):
            random = self._plan.random("inheritances")
            for project in PROJECTS:
                highest = InheritanceSet(random.choice((0, 4, 9)))
                self._world.record(stream_of("project", project), highest)

    def heal(self) -> None:
        """No budget keeps anybody from ending."""
        for project in PROJECTS:
            self._world.record(stream_of("project", project), BudgetsSet(()))

    def _do(self, name: str, act: Callable[[str, Random], None]) -> None:
        if self._plan.has(name):
            with suppress(UnknownEvent):  # a stream that cannot be read takes no command
                act(name, self._plan.random(name))

    def _reserve(self, planned: str, random: Random) -> None:
        world, name = self._world, planned.replace("#", "-")
        now = world.log.now()
        length = random.randrange(10, 80)
        begins = now + random.randrange(-min(20, length - 1), 60) * SECOND
        begins = min(begins, now + LONGEST - world.loop.now - length * SECOND)
        schedule = Schedule(begins, length)
        if random.random() < 0.4:  # the last of those that come again and again
            again = random.randrange(1, 50) * EVERY
            schedule = Schedule(begins - again * SECOND, length, EVERY, begins + 1)
        terms = self._terms(planned, schedule, random)
        stream = stream_of("reservation", name)
        for event in reservations.create(None, name, terms, now):
            world.record(stream, event)
        if random.random() < 0.3:
            made = Reservation(name, terms)
            world.loop.after(random.randrange(60) * SECOND, partial(self._cancel, made))

    def _cancel(self, made: Reservation) -> None:
        stream, now = stream_of("reservation", made.name), self._world.log.now()
        known = self._world.log.stream(stream)
        try:
            for event in reservations.cancel(made, now) if len(known) == 1 else ():
                self._world.record(stream, event)
        except Conflict:
            pass  # its window was over

    def _terms(self, planned: str, schedule: Schedule, random: Random) -> Terms:
        """What is kept for whom. Only the first may be by GPUs, not by nodes."""
        nodes = [NodeId(n) for n in self._world.machines if random.random() < 0.5]
        terms = Terms(schedule, tuple(nodes or [NodeId(min(self._world.machines))]))
        terms = replace(terms, notice_seconds=random.choice((0, 20, 24 * 3600)))
        if random.random() < 0.4:
            return replace(terms, maintenance=True)
        if planned.endswith("#1") and random.random() < 0.6:
            terms = replace(terms, nodes=(), gpus=random.randrange(1, 6))
        jobs = sorted(self._world.checker.jobs)
        match random.randrange(3 if jobs else 2):
            case 0:
                return replace(terms, projects=(random.choice(PROJECTS),))
            case 1:
                return replace(terms, users=(random.choice(USERS),))
            case _:
                return replace(terms, jobs=(JobId(random.choice(jobs)),))

    def _migrate(self, _: str, random: Random) -> None:
        """Have one of the jobs that run move away, or to a node; or take that back."""
        known = self._world.checker.jobs.items()
        moving = [name for name, job in sorted(known) if pending(job) is not None]
        running = [name for name, job in sorted(known) if job.phase is Phase.RUNNING]
        if moving and random.random() < 0.5:
            self._decide(random.choice(moving), withdraw)
        elif running:
            to = NodeId(random.choice(sorted(self._world.machines)))
            aim = to if random.random() < 0.4 else None
            self._decide(random.choice(running), lambda job: migrate(job, aim))

    def _decide(self, job: str, decide: Callable[[Job], list[JobEvent]]) -> None:
        stream = stream_of("job", job)
        state, _ = self._world.log.load(stream, jobs.evolve, None)
        if state is not None:  # else a failover lost it
            with suppress(Refusal):
                for event in decide(state):
                    self._world.record(stream, event)

    def _budget(self, _: str, random: Random) -> None:
        found = {}
        for _number in range(random.randrange(1, 3)):
            per = random.choice((Per.DAY, Per.HOURS, Per.DAYS, Per.MONTH))
            user = random.choice(("", "", EACH_USER, USERS[1]))
            gpu = random.choice((None, None, 0, 600, 1500, 4000))
            money = random.choice((None, None, 20_000, 150_000, 400_000, 1_000_000))
            if gpu is None and money is None:
                gpu = 1000
            found[per, user] = Budget(per, 1, user, gpu, money)
        stream = stream_of("project", random.choice(PROJECTS))
        self._world.record(stream, BudgetsSet(tuple(found.values())))

    def _price(self, _: str, random: Random) -> None:
        model = GpuPrice("A100", random.choice((0, 900_001, 900_001, 4_000_000, 4_000_000)))
        listed = (model,) if random.random() < 0.5 else ()
        prices = PriceList("USD", 0, 0, random.choice((0, 1_000_000, 2_500_003)), listed)
        self._prices(prices)

    def _sale(self, planned: str, random: Random) -> None:
        """A budget pays for one job and half another; it runs, GPUs cost half, and people come.

        The job of the second sale takes longer than anybody thought.
        """
        world, project, sale = self._world, random.choice(PROJECTS), int(planned[-1])
        first, lasts = 1000 * sale, 30 if sale == 1 else 450
        spec = JobSpec("", project, ("work",), resources=Resources(500, GIB, 1000))
        spec = replace(spec, priority=9, grace_seconds=2, estimate_seconds=30)
        budget = Budget(Per.DAYS, 1, "", None, PAYS)
        world.record(stream_of("project", project), BudgetsSet((budget,)))
        self._prices(PriceList("USD", 0, 0, COSTS))
        world.users.order(first, spec, lasts * SECOND)

        def halve() -> None:
            self._prices(PriceList("USD", 0, 0, COSTS // 2))
            for number in range(first + 1, first + 4):
                world.users.order(number, spec, 20 * SECOND)

        world.loop.after(random.randrange(1, 10) * SECOND, halve)

    def _prices(self, prices: PriceList) -> None:
        with suppress(UnknownEvent):
            self._world.record(stream_of("policy", "cell"), PricesSet(prices))
