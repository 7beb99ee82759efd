"""A cell whose budgets a judge looks at who knows only the events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from domain.allocation.events import Granted, Released
from domain.event import Event
from domain.job import job as jobs
from domain.job.transitions import PLACED
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.budget import Budget, Per, window_at
from domain.project.events import BudgetsSet
from domain.scheduling.budgets import END_SECONDS, START_SECONDS, Account
from domain.values.ids import DeviceId
from domain.values.time import HOUR, SECOND, from_datetime
from domain.values.topology import Device
from tests.domain.scheduling.stage import Stage

PRICES = PriceList("USD", 0, 0, 2_000_000, (GpuPrice("H100", 7_000_001),))
SPARE = START_SECONDS + 30 + END_SECONDS


@dataclass
class Held:
    """An interval as a judge sees it who knows only the events."""

    user: str
    gpu_milli: int
    model: str
    began: int
    ended: int | None
    until: int | None
    fixed: int | None
    prices: list[tuple[int, PriceList | None]]

    def amount(self, since: int, until: int) -> tuple[int, int]:
        """GPU-milli-microseconds and micro-units in a stretch, each stretch of prices rounded."""
        begin = max(since, self.began)
        end = min(x for x in (until, self.ended, self.until) if x is not None)
        money, edges = 0, [at for at, _ in self.prices] + [2**70]
        spans = [(begin, end, self.fixed)]
        if self.fixed is None:
            spans = [
                (max(begin, at), min(end, edges[n + 1]), _rate(prices, self.model))
                for n, (at, prices) in enumerate(self.prices)
            ]
        for first, last, rate in spans:
            assert rate is not None
            exact = Fraction(rate * self.gpu_milli * max(0, last - first), 1000 * HOUR)
            money += int(exact + Fraction(1, 2))
        return self.gpu_milli * max(0, end - begin), money


def _rate(prices: PriceList | None, model: str) -> int:
    if prices is None:
        return 0
    return {p.model: p.micro_per_hour for p in prices.gpus}.get(model, prices.gpu_micro)


class Paying(Stage):
    """A cell whose every event is followed by a look at the budgets."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Held] = {}
        self.prices: list[tuple[int, PriceList | None]] = [(0, None)]
        self.budgets: tuple[Budget, ...] = ()

    def record(self, stream: str, events: Sequence[Event], project: str | None = None) -> None:
        for event in events:
            super().record(stream, [event], project)
            if isinstance(event, Granted):
                total, terms = event.per_seat * len(event.seats), event.terms
                until = None if terms is None else terms.until
                fixed = None if terms is None else terms.rates.gpu_micro
                model = event.gpu_model
                self.held[event.allocation] = Held(
                    event.user, total.gpu_milli, model, self.now, None, until, fixed, self.prices
                )
            elif isinstance(event, Released):
                self.held[event.allocation].ended = self.now
            elif isinstance(event, PricesSet):
                self.prices.append((self.now, event.prices))
            elif isinstance(event, BudgetsSet):
                self.budgets = event.budgets
            self.check()

    def accounts(self) -> Iterator[Account]:
        users = sorted({held.user for held in self.held.values()})
        for budget in self.budgets:
            for user in users if budget.user == "*" else [budget.user]:
                yield Account("ml", budget, user)

    def standing(self, account: Account) -> tuple[tuple[int, int], tuple[int, int]]:
        """Used, and used with what is reserved, in the window of now; by the judge."""
        window = window_at(account.budget, self.now)
        used, most = [0, 0], [0, 0]
        for held in self.held.values():
            if account.user not in ("", held.user):
                continue
            now = held.amount(window.since, self.now)
            end = window.until
            if account.budget.rolling:
                begin = max(window.since, held.began)
                end = begin + window.until - window.since
            to_come = held.amount(window.since, end) if held.until and not held.ended else now
            for n in range(2):
                used[n] += now[n]
                most[n] += to_come[n]
        return (used[0], used[1]), (most[0], most[1])

    def check(self) -> None:
        """The law."""
        for account in self.accounts():
            used, most = self.standing(account)
            assert used[0] <= most[0]
            assert used[1] <= most[1]
            gpu, money = account.budget.gpu_seconds, account.budget.money_micro
            assert gpu is None or most[0] <= gpu * 1000 * SECOND, (account, most, self)
            assert money is None or most[1] <= money, (account, most, self)

    def limit(self, *budgets: Budget) -> None:
        self.record("project/ml", [BudgetsSet(budgets)])

    def price(self, prices: PriceList) -> None:
        self.record("policy/cell", [PricesSet(prices)])

    def reach_limits(self) -> None:
        """What timers do: ask those to end that have come to their limit."""
        for name in self.in_phase(*PLACED):
            job = self.job(name)
            at = jobs.limit_at(job)
            if at is not None and at <= self.now:
                self.record(f"job/{name}", jobs.reach_limit(job, self.now, self.now + 30 * SECOND))


def month(**limits: Any) -> Budget:
    return Budget(Per.MONTH, **limits)


def h100s(node: str) -> tuple[Device, ...]:
    return tuple(Device(DeviceId(f"{node}-gpu{n}"), "H100", 80 * 2**30) for n in range(4))


def stage(gpus: int = 8) -> Paying:
    cell = Paying()
    cell.now = from_datetime(datetime(2026, 11, 24, 12, tzinfo=UTC))
    cell.node("n", gpus)
    cell.price(PRICES)
    return cell
