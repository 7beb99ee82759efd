"""Usage and cost against a plain count over the log: to the last microsecond and microunit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

from domain.allocation.events import Granted, Released
from domain.policy.events import PriceList, PricesSet
from domain.values.resources import Resources
from processors.projector import Connection, connect
from projections import cost, usage
from projections.tables import prepare
from projections.usage import GroupBy, Window
from tests.projections.histories import SEEDS, Replay, history
from tests.projections.test_rebuild import Everything, follow

HOUR_US, GIB = 3_600_000_000, 2**30


@dataclass
class Held:
    """What one allocation held, and when."""

    by: dict[GroupBy, str]
    amount: Resources
    model: str
    began: int
    ended: int | None = None


def held(seed: int) -> list[Held]:
    """Every allocation of a history, read straight from its events."""
    found: dict[str, Held] = {}
    for r in history(seed):
        if isinstance(r.event, Granted):
            by = {
                GroupBy.PROJECT: r.meta.project or "",
                GroupBy.USER: r.event.user,
                GroupBy.JOB: r.event.job,
            }
            amount = r.event.per_seat * len(r.event.seats)
            found[r.event.allocation] = Held(by, amount, r.event.gpu_model, r.recorded_at)
        elif isinstance(r.event, Released):
            found[r.event.allocation].ended = r.recorded_at
    return list(found.values())


def tariffs(seed: int) -> list[tuple[int, int, PriceList]]:
    """From when to when each price list held."""
    sets = [
        (r.recorded_at, r.event.prices) for r in history(seed) if isinstance(r.event, PricesSet)
    ]
    ends = [at for at, _ in sets[1:]] + [2**62]
    return [(at, end, prices) for (at, prices), end in zip(sets, ends, strict=True)]


def half_up(number: int, unit: int) -> int:
    """number / unit, rounded half up."""
    return (2 * number + unit) // (2 * unit)


def part(item: Held, since: int, until: int) -> tuple[int, int]:
    began, ended = max(item.began, since), min(until if item.ended is None else item.ended, until)
    return began, max(began, ended)


def windows(seed: int) -> Iterator[tuple[int, int]]:
    """All of it, and some cuts that fall anywhere."""
    luck, events = Random(seed), history(seed)
    first, last = events[0].recorded_at, events[-1].recorded_at
    yield 0, last + 5_000_000
    for _ in range(4):
        since, until = sorted(luck.randint(first, last) for _ in range(2))
        yield since, until


@pytest.fixture(params=list(SEEDS)[:4])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def connection(dsn: str, seed: int) -> Iterator[Connection]:
    with connect(dsn) as connection:
        prepare(connection)
        follow(dsn, Replay(history(seed), Everything()))
        yield connection


@pytest.mark.parametrize("group", list(GroupBy))
def test_usage_is_the_sum_over_what_was_held(
    connection: Connection, seed: int, group: GroupBy
) -> None:
    for since, until in windows(seed):
        sums: Counter[tuple[str, str]] = Counter()
        for item in held(seed):
            began, ended = part(item, since, until)
            for name in ("cpu_milli", "memory_bytes", "gpu_milli"):
                sums[item.by[group], name] += getattr(item.amount, name) * (ended - began)
        found = usage.sums(connection, Window(None, since, until), group)
        counted = {
            (u.key, name): amount
            for u in found
            for name, amount in (
                ("cpu_milli", u.cpu_milli_us),
                ("memory_bytes", u.memory_byte_us),
                ("gpu_milli", u.gpu_milli_us),
            )
        }
        assert {k: v for k, v in counted.items() if v} == {k: v for k, v in sums.items() if v}


@pytest.mark.parametrize("group", list(GroupBy))
def test_cost_is_the_sum_over_what_was_held_at_the_prices_of_the_time(
    connection: Connection, seed: int, group: GroupBy
) -> None:
    for since, until in windows(seed):
        bill: Counter[tuple[str, str]] = Counter()
        for item in held(seed):
            began, ended = part(item, since, until)
            for valid, over, prices in tariffs(seed):
                us = min(ended, over) - max(began, valid)
                if us <= 0:
                    continue
                named = {gpu.model: gpu.micro_per_hour for gpu in prices.gpus}
                gpu, key = named.get(item.model, prices.gpu_micro), item.by[group]
                amount = item.amount
                bill[key, "cpu"] += half_up(
                    prices.cpu_micro * amount.cpu_milli * us, 1000 * HOUR_US
                )
                bill[key, "memory"] += half_up(
                    prices.memory_gib_micro * amount.memory_bytes * us, GIB * HOUR_US
                )
                bill[key, "gpu"] += half_up(gpu * amount.gpu_milli * us, 1000 * HOUR_US)
        found = cost.sums(connection, Window(None, since, until), group)
        counted = {
            (c.key, name): amount
            for c in found
            for name, amount in (
                ("cpu", c.cpu_micro),
                ("memory", c.memory_micro),
                ("gpu", c.gpu_micro),
            )
        }
        assert {k: v for k, v in counted.items() if v} == {k: v for k, v in bill.items() if v}


def test_every_way_to_group_adds_up_to_the_same(connection: Connection, seed: int) -> None:
    for since, until in windows(seed):
        window = Window(None, since, until)
        totals = {
            group: (
                sum(c.total_micro for c in cost.sums(connection, window, group)),
                sum(u.gpu_milli_us for u in usage.sums(connection, window, group)),
            )
            for group in GroupBy
        }
        assert len(set(totals.values())) == 1
