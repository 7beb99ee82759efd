"""A cell whose budgets a judge looks at who knows only the events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.allocation.events import Granted, Released
from domain.event import Event
from domain.job import job as jobs
from domain.job.transitions import PLACED, Phase
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.budget import Budget, Per, window_at
from domain.project.events import BudgetsSet
from domain.scheduling.budgets import END_SECONDS, START_SECONDS, Account, next_turn
from domain.values.ids import DeviceId
from domain.values.time import SECOND, from_datetime
from domain.values.topology import Device
from tests.domain.scheduling.judge import Amount, Held, Judge
from tests.domain.scheduling.stage import Stage

PRICES = PriceList("USD", 0, 0, 2_000_000, (GpuPrice("H100", 7_000_001),))
SPARE = START_SECONDS + 30 + END_SECONDS


class Paying(Stage):
    """A cell whose every event is followed by a look at the budgets."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = Judge()
        self.budgets: dict[str, tuple[Budget, ...]] = {}
        self.before: set[str] = set()
        """What was placed before the budgets of today."""

    def record(self, stream: str, events: Sequence[Event], project: str | None = None) -> None:
        for event in events:
            super().record(stream, [event], project)
            if isinstance(event, Granted):
                assert project is not None, "a grant names it"
                self.judge.grant(project, event, self.now)
            elif isinstance(event, Released):
                self.judge.release(event.allocation, self.now)
            elif isinstance(event, PricesSet):
                self.judge.price(event.prices, self.now)
            elif isinstance(event, BudgetsSet):
                self.budgets[stream.partition("/")[2]] = event.budgets
                self.before |= self.judge.held.keys()
            self.check()

    def accounts(self) -> Iterator[Account]:
        for project, budgets in self.budgets.items():
            for budget in budgets:
                everybody = self.judge.users(project)
                for user in everybody if budget.user == "*" else [budget.user]:
                    yield Account(project, budget, user)

    def standing(self, account: Account) -> tuple[Amount, Amount]:
        """Used, and used with what is reserved, in the window of now; by the judge."""
        return self.judge.standing(account.project, account.budget, account.user, self.now)

    def check(self) -> None:
        """The law: in no window, of now or to come, is more used and reserved than is allowed.

        And of what is charged nothing is without an end, or prices could rise under it.
        """
        ends = [held.until for held in self.judge.held.values() if held.until and not held.ended]
        for account in self.accounts():
            budget, window = account.budget, window_at(account.budget, self.now)
            for held in self._charged(account):
                assert held.until is not None, (account, held, self)
            while True:
                used, most = self.judge.standing(
                    account.project, budget, account.user, self.now, window
                )
                assert used[0] <= most[0]
                assert used[1] <= most[1]
                gpu, money = budget.gpu_seconds, budget.money_micro
                assert gpu is None or most[0] <= gpu * 1000 * SECOND, (account, window, most, self)
                assert money is None or most[1] <= money, (account, window, most, self)
                if budget.rolling or max(ends, default=0) <= window.until:
                    break
                window = window_at(budget, window.until)

    def _charged(self, account: Account) -> Iterator[Held]:
        """What is held, placed under the account's budget, and charged to it."""
        gpu, money = account.budget.gpu_seconds, account.budget.money_micro
        for name, held in self.judge.held.items():
            mine = held.project == account.project and account.user in ("", held.user)
            costs = money is not None or (gpu is not None and held.gpu_milli > 0)
            if mine and costs and held.ended is None and name not in self.before:
                yield held

    def limit(self, *budgets: Budget, project: str = "ml") -> None:
        self.record(f"project/{project}", [BudgetsSet(budgets)])

    def price(self, prices: PriceList) -> None:
        self.record("policy/cell", [PricesSet(prices)])

    def reach_limits(self) -> None:
        """What timers do: ask those to end that have come to their limit."""
        for name in self.in_phase(*PLACED):
            job = self.job(name)
            at = jobs.limit_at(job)
            if at is not None and at <= self.now:
                self.record(f"job/{name}", jobs.reach_limit(job, self.now, self.now + 30 * SECOND))

    def retry(self) -> None:
        """What timers do: let those that failed try again, when they may."""
        for name in self.in_phase(Phase.HELD):
            self.now = max(self.now, self.job(name).due_at)
            self.record(f"job/{name}", jobs.retry_due(self.job(name), self.now))

    def turn(self) -> None:
        """A moment before the next window of a budget begins, or just after."""
        turn = next_turn(self.snapshot.budgets, self.now)
        if turn is not None:
            self.now = max(self.now, turn - 2)


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
