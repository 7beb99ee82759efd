"""Histories for read models: what a simulated cell recorded, and what people decided beside it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from random import Random

from domain.access import PROJECT_ROLES, Role
from domain.consumer.events import EventDiscarded
from domain.errors import Refusal
from domain.event import Event, Meta, Recorded, StreamId
from domain.policy import policy as policies
from domain.policy.events import Cohort, GpuPrice, PolicyEvent, PriceList
from domain.policy.inventory import Cluster, ExpectedNode
from domain.project import project as projects
from domain.project.budget import Budget, Per
from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.schedule import Schedule
from domain.token import token as tokens
from domain.token.events import Issued
from domain.values.ids import NodeId, ProjectId, TokenId
from infra.codec import from_stored, to_stored
from infra.store import stream_of
from tests.simulation.administrators import EPOCH
from tests.simulation.users import PROJECTS
from tests.simulation.world import World

SEEDS = (18, 22, 25, 35, 50, 67, 173, 424)
"""Small cells in which, together, everything happens that can happen."""

META = Meta("admin", "command:1", "trace-1")
Streamed = tuple[StreamId, list[Event]]


class People:
    """Whoever decides about projects, tokens and prices, by the commands of the domain."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._projects: dict[ProjectId, projects.Project] = {}
        self._tokens: dict[TokenId, tokens.Token] = {}
        self._policy = policies.Policy()
        self._reservations: dict[str, reservations.Reservation] = {}

    def begin(self) -> Iterator[Streamed]:
        """The projects, which must be there before anything happens in them."""
        for name in PROJECTS:
            events = projects.create(None, name, "a project")
            project = projects.evolve(None, events[0])
            events += projects.set_budgets(project, (Budget(Per.MONTH, money_micro=10**9),))
            project = projects.evolve(project, events[1])
            events += projects.set_inheritance(project, 5)
            self._projects[name] = projects.evolve(project, events[2])
            yield stream_of("project", name), [*events]
        yield stream_of("consumer", "of-old"), [self._discarded()]

    @staticmethod
    def _discarded() -> Event:
        """What was decided about a consumer there is no more."""
        stream = stream_of("job", "of-old")
        return EventDiscarded(stream, 1, 1, "job.forgotten.v1", "KeyError: 'x'", "not needed")

    def act(self) -> Iterator[Streamed]:
        """One decision, or none where it is refused."""
        decide = self._random.choice(
            (
                self._member,
                self._price,
                self._token,
                self._scheduler,
                self._share,
                self._reservation,
                self._inventory,
            )
        )
        try:
            stream, events = decide()
        except Refusal:
            return
        yield stream, events

    def _member(self) -> Streamed:
        name, principal = self._random.choice(PROJECTS), self._random.choice("abc")
        project = self._projects[name]
        events = (
            projects.remove_member(project, principal)
            if self._random.random() < 0.4
            else projects.set_member(project, principal, self._role())
        )
        for event in events:
            project = projects.evolve(project, event)
        self._projects[name] = project
        return stream_of("project", name), [*events]

    def _role(self) -> Role:
        return self._random.choice(sorted(PROJECT_ROLES))

    def _price(self) -> Streamed:
        pick = self._random.randrange
        gpus = tuple(GpuPrice(model, pick(10**7)) for model in ("A100", "H100")[: pick(3)])
        prices = PriceList("EUR", pick(10**5), pick(10**4), pick(10**7), gpus)
        return self._decided(policies.set_prices(self._policy, prices))

    def _scheduler(self) -> Streamed:
        settings = replace(self._policy.scheduler, grace_seconds=self._random.randrange(60))
        return self._decided(policies.set_scheduler(self._policy, settings))

    def _share(self) -> Streamed:
        shares = self._random.randrange(1, 9)
        cohorts = (Cohort("lab", shares=shares), Cohort("ml", "lab", project=ProjectId("ml")))
        return self._decided(policies.set_cohorts(self._policy, cohorts))

    def _inventory(self) -> Streamed:
        nodes = (ExpectedNode(NodeId("n1"), 1000 * self._random.randrange(1, 9), 2**30),)
        return self._decided(policies.set_inventory(self._policy, (Cluster("lab", nodes),)))

    def _decided(self, events: Sequence[PolicyEvent]) -> Streamed:
        for event in events:
            self._policy = policies.evolve(self._policy, event)
        return stream_of("policy", "cell"), [*events]

    def _reservation(self) -> Streamed:
        name = f"r{self._random.randrange(3)}"
        known = self._reservations.get(name)
        if known is not None and self._random.random() < 0.5:
            events = reservations.cancel(known, EPOCH)
        else:
            schedule = Schedule(EPOCH, 3600 + self._random.randrange(9))
            terms = Terms(schedule, (NodeId("n0"),), users=("ada",))
            events = reservations.create(known, name, terms, EPOCH)
        self._reservations[name] = reservations.evolve(known, events[0])
        return stream_of("reservation", name), [*events]

    def _token(self) -> Streamed:
        if self._tokens and self._random.random() < 0.5:
            token = self._random.choice(sorted(self._tokens))
            events = tokens.revoke(self._tokens[token], "no longer needed")
        else:
            token = TokenId(f"token-{len(self._tokens)}")
            issued = Issued(token, f"{len(self._tokens):064x}", "ada", (self._role(),))
            events = tokens.issue(issued, EPOCH)
        self._tokens[token] = tokens.evolve(self._tokens.get(token), events[0])
        return stream_of("token", token), [*events]


@cache
def history(seed: int) -> tuple[Recorded, ...]:
    """The whole log of a simulated cell with its people's decisions, positions with gaps."""
    random = Random(f"history {seed}")
    world = World(seed)
    outcome = world.run()
    assert outcome.violation is None, outcome.violation
    simulated = world.log.read(0, 10**9)
    return tuple(_numbered(_woven(simulated, People(random), random), random))


def _woven(
    simulated: Iterable[Recorded], people: People, random: Random
) -> Iterator[tuple[StreamId, Event, Meta, int]]:
    at = EPOCH
    for stream, events in people.begin():
        yield from ((stream, event, META, at) for event in events)
    for recorded in simulated:
        if random.random() < 0.1:
            between = random.randint(at, recorded.recorded_at)
            for stream, events in people.act():
                yield from ((stream, event, META, between) for event in events)
        at = recorded.recorded_at
        yield recorded.stream, recorded.event, recorded.meta, at


def _numbered(
    woven: Iterable[tuple[StreamId, Event, Meta, int]], random: Random
) -> Iterator[Recorded]:
    """Each event in its envelope, read back from what the store would keep."""
    position, versions = 0, dict[StreamId, int]()
    for stream, event, meta, at in woven:
        position += random.choice((1, 1, 1, 4))
        versions[stream] = version = versions.get(stream, 0) + 1
        row = to_stored(stream, version, event, meta, None)
        yield from_stored(position, stream, version, row.topic, row.state, at)


@dataclass
class Portions:
    """The port `EventStream` on a history, in portions of these sizes, over and over."""

    events: Sequence[Recorded]
    sizes: Sequence[int] = (1000,)

    def __post_init__(self) -> None:
        self._positions = [recorded.position for recorded in self.events]
        self._next = cycle(self.sizes)

    def read(self, after: int, limit: int) -> list[Recorded]:
        start = bisect_right(self._positions, after)
        return list(self.events[start : start + min(limit, next(self._next))])

    def wait(self, seconds: float) -> None:
        """Nothing: a history does not grow."""


def topics(events: Iterable[Recorded]) -> set[str]:
    """The names of the events that happened."""
    return {recorded.event.topic for recorded in events}
