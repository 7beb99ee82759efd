"""Usage and cost: what is held is counted once, to the microunit, whatever it is summed by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.allocation import allocation as allocations
from domain.allocation.seat import Seat
from domain.event import Event, Meta, Recorded
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.resources import Resources
from infra.store import stream_of
from processors.projector import Connection, Projector, connect
from projections import cost, usage
from projections.tables import prepare
from projections.usage import GroupBy, Window
from tests.projections.histories import Portions

HOUR = 3_600_000_000
GIB = 2**30
VIEWS = (usage.VIEW, cost.VIEW)
PROJECTS = ("ml", "ops")
KINDS = ("cpu", "memory", "gpu")


@dataclass(frozen=True)
class Held:
    """One attempt's allocation, from `began` to `ended` (None: it lasts)."""

    project: str
    user: str
    job: str
    seats: int
    per_seat: Resources
    model: str
    began: int
    ended: int | None

    def key(self, group_by: GroupBy) -> str:
        return str(getattr(self, group_by.value))

    def amounts(self) -> tuple[int, int, int]:
        one = self.per_seat
        return tuple(n * self.seats for n in (one.cpu_milli, one.memory_bytes, one.gpu_milli))  # type: ignore[return-value]  # three

    def inside(self, since: int, until: int) -> int:
        """How long it was held in the window."""
        end = until if self.ended is None else min(self.ended, until)
        return max(0, end - max(self.began, since))


@dataclass(frozen=True)
class Story:
    """What was held, and each price list with the time it began to hold, in order."""

    held: list[Held]
    prices: list[tuple[int, PriceList]]

    def events(self) -> list[Recorded]:
        """The log in which this happened."""
        found: list[tuple[int, int, str, Event, str | None]] = []
        for at, prices in self.prices:
            found.append((at, 0, stream_of("policy", "cell"), PricesSet(prices), None))
        for number, held in enumerate(self.held):
            name, project = AllocationId(f"alloc-{number}"), ProjectId(held.project)
            stream = stream_of("allocation", name)
            [granted] = allocations.grant(
                name,
                JobId(held.job),
                1,
                tuple(Seat(rank, NodeId("n")) for rank in range(held.seats)),
                ("boot",) * held.seats,
                held.per_seat,
                gpu_model=held.model,
                user=held.user,
            )
            found.append((held.began, 1, stream, granted, project))
            if held.ended is not None:
                state = allocations.evolve(None, granted)
                for rank in range(held.seats):
                    [lost] = allocations.lose_seat(state, rank)
                    state = allocations.evolve(state, lost)
                [released] = allocations.release(state, project)
                found.append((held.ended, 2, stream, released, project))
        found.sort(key=lambda item: item[:2])
        return [
            Recorded(n, stream_of(*s.split("/")), 1, at, Meta("t", "c", "c", project), None, event)
            for n, (at, _, s, event, project) in enumerate(found, start=1)
        ]

    def usage(self, since: int, until: int, group_by: GroupBy) -> Counter[tuple[str, str]]:
        """Amount times microseconds by key and kind."""
        sums: Counter[tuple[str, str]] = Counter()
        for held in self.held:
            for kind, amount in zip(KINDS, held.amounts(), strict=True):
                sums[held.key(group_by), kind] += amount * held.inside(since, until)
        return sums

    def cost(self, since: int, until: int, group_by: GroupBy) -> Counter[tuple[str, str]]:
        """Micro-units by key and kind: each interval, cut where prices change, rounded half up."""
        sums: Counter[tuple[str, str]] = Counter()
        begins = [at for at, _ in self.prices]
        for (begin, prices), end in zip(self.prices, [*begins, until][1:], strict=True):
            models = {price.model: price.micro_per_hour for price in prices.gpus}
            for held in self.held:
                took = held.inside(max(since, begin), min(until, end))
                rates = (
                    Fraction(prices.cpu_micro, 1000),
                    Fraction(prices.memory_gib_micro, GIB),
                    Fraction(models.get(held.model, prices.gpu_micro), 1000),
                )
                for kind, amount, rate in zip(KINDS, held.amounts(), rates, strict=True):
                    exact = rate * amount * took / HOUR
                    sums[held.key(group_by), kind] += int(exact + Fraction(1, 2))
        return sums


END = 4 * HOUR
TIMES = st.one_of(st.integers(0, END), st.sampled_from((0, HOUR // 2, HOUR, 2 * HOUR, END)))
AMOUNTS = st.builds(
    Resources,
    st.sampled_from((0, 1, 500, 1000, 2**50)),
    st.sampled_from((0, 1, GIB, 3 * GIB + 1, 2**50)),
    st.sampled_from((0, 1000, 8000)),
)
RATES = st.one_of(st.sampled_from((0, 1, 3, 10**15)), st.integers(0, 10**7))
MODELS = st.sampled_from(("", "A100", "H100", 'it\'s "odd"'))
PRICES = st.builds(
    PriceList,
    st.just("EUR"),
    RATES,
    RATES,
    RATES,
    st.lists(st.builds(GpuPrice, MODELS.filter(bool), RATES), max_size=2).map(
        lambda found: tuple({price.model: price for price in found}.values())
    ),
)


@st.composite
def held(draw: st.DrawFn) -> Held:
    began, ended = sorted((draw(TIMES), draw(TIMES)))
    return Held(
        draw(st.sampled_from(PROJECTS)),
        draw(st.sampled_from(("ada", "bob"))),
        draw(st.sampled_from(("job-1", "job-2", "job-3"))),
        draw(st.sampled_from((1, 2, 4096))),
        draw(AMOUNTS),
        draw(MODELS),
        began,
        None if draw(st.booleans()) else ended,
    )


STORIES = st.builds(
    Story,
    st.lists(held(), max_size=8),
    st.lists(st.tuples(TIMES, PRICES), max_size=4).map(lambda p: sorted(p, key=lambda x: x[0])),
)
LAW = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def tables(dsn: str) -> Iterator[Connection]:
    """A connection to the database in which stories are told."""
    with closing(connect(dsn)) as connection:
        prepare(connection, VIEWS)
        yield connection


def tell(connection: Connection, story: Story) -> None:
    """Show this story, and nothing else."""
    connection.execute("DELETE FROM view_intervals")
    connection.execute("DELETE FROM view_prices")
    connection.execute("UPDATE view_positions SET position = 0")
    projector = Projector(connection, Portions(story.events(), [3]), VIEWS)
    while projector.step():
        pass


def shown(
    connection: Connection, window: Window, group_by: GroupBy
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Usage and cost as the read models sum them."""
    used: Counter[tuple[str, str]] = Counter()
    for u in usage.sums(connection, window, group_by):
        amounts = (u.cpu_milli_us, u.memory_byte_us, u.gpu_milli_us)
        used.update({(u.key, kind): n for kind, n in zip(KINDS, amounts, strict=True)})
    paid: Counter[tuple[str, str]] = Counter()
    for c in cost.sums(connection, window, group_by):
        amounts = (c.cpu_micro, c.memory_micro, c.gpu_micro)
        paid.update({(c.key, kind): n for kind, n in zip(KINDS, amounts, strict=True)})
        assert c.total_micro == sum(amounts)
    return used, paid


def whole(sums: Counter[tuple[str, str]]) -> Counter[str]:
    """Over all keys."""
    found: Counter[str] = Counter()
    for (_, kind), amount in sums.items():
        found[kind] += amount
    return found


@given(story=STORIES, times=st.tuples(TIMES, TIMES))
@LAW
def test_what_is_shown_is_what_plain_arithmetic_says(
    tables: Connection, story: Story, times: tuple[int, int]
) -> None:
    tell(tables, story)
    since, until = sorted(times)
    for group_by in GroupBy:
        used, paid = shown(tables, Window(None, since, until), group_by)
        assert +used == +story.usage(since, until, group_by)
        assert +paid == +story.cost(since, until, group_by)


@given(story=STORIES, times=st.tuples(TIMES, TIMES))
@LAW
def test_it_adds_up_to_the_same_by_project_by_user_and_by_job(
    tables: Connection, story: Story, times: tuple[int, int]
) -> None:
    tell(tables, story)
    since, until = sorted(times)
    sums = [shown(tables, Window(None, since, until), group_by) for group_by in GroupBy]
    assert all(whole(used) == whole(sums[0][0]) for used, _ in sums)
    assert all(whole(paid) == whole(sums[0][1]) for _, paid in sums)
    apart = [
        shown(tables, Window([project], since, until), GroupBy.PROJECT) for project in PROJECTS
    ]
    assert (apart[0][0] + apart[1][0], apart[0][1] + apart[1][1]) == (+sums[0][0], +sums[0][1])


@given(story=STORIES, times=st.tuples(TIMES, TIMES, TIMES))
@LAW
def test_two_windows_in_a_row_hold_what_the_whole_one_holds(
    tables: Connection, story: Story, times: tuple[int, int, int]
) -> None:
    """Usage exactly; cost but for the rounding of each line that the cut divides: one at most."""
    tell(tables, story)
    since, middle, until = sorted(times)
    first, second, both = (
        shown(tables, Window(None, *window), GroupBy.JOB)
        for window in ((since, middle), (middle, until), (since, until))
    )
    assert first[0] + second[0] == +both[0]
    paid, together = whole(first[1] + second[1]), whole(both[1])
    assert all(abs(paid[kind] - together[kind]) <= len(story.held) for kind in KINDS)


def test_half_a_microunit_is_rounded_up_once_for_each_interval_and_price(
    tables: Connection,
) -> None:
    """1 micro-unit an hour: half an hour costs 1, and two such intervals cost 2."""
    one = Held("ml", "ada", "job-1", 1, Resources(1000, GIB, 1000), "A100", 0, HOUR // 2)
    prices = PriceList("EUR", 1, 1, 7, (GpuPrice("A100", 1),))
    tell(tables, Story([one, replace(one, began=HOUR, ended=HOUR * 3 // 2)], [(0, prices)]))
    [found] = cost.sums(tables, Window(None, 0, END), GroupBy.PROJECT)
    assert (found.cpu_micro, found.memory_micro, found.gpu_micro) == (2, 2, 2)


def test_a_price_holds_from_its_time_on_and_what_runs_is_paid_until_now(tables: Connection) -> None:
    """One CPU for three hours so far: an hour before any price, one for 10, one for 1000."""
    one = Held("ml", "ada", "job-1", 1, Resources(1000), "", 0, None)
    prices = [(HOUR, PriceList("EUR", 10, 0, 0)), (2 * HOUR, PriceList("EUR", 1000, 0, 0))]
    tell(tables, Story([one], prices))
    [paid] = cost.sums(tables, Window(None, 0, 3 * HOUR), GroupBy.PROJECT)
    [used] = usage.sums(tables, Window(None, 0, 3 * HOUR), GroupBy.PROJECT)
    assert (paid.total_micro, used.cpu_milli_us, used.jobs) == (1010, 1000 * 3 * HOUR, 1)
