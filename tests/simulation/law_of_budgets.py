"""The law of budgets: at no position of the log is more used and reserved than is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from domain.allocation.events import Granted, Released
from domain.event import Recorded
from domain.policy.events import PricesSet
from domain.project.budget import EACH_USER, Budget, window_at
from domain.project.events import BudgetsSet
from domain.values.time import SECOND
from tests.domain.scheduling.judge import Amount, Judge
from tests.simulation.laws import Fail, standing


@dataclass
class LawOfBudgets:
    """Counts by itself what is held; `reads` are the positions that grants were decided on."""

    fail: Fail
    judge: Judge = field(default_factory=Judge)
    budgets: dict[str, list[tuple[int, tuple[Budget, ...]]]] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)

    def copy(self) -> LawOfBudgets:
        """What a standby knows."""
        budgets = {project: list(known) for project, known in self.budgets.items()}
        return LawOfBudgets(self.fail, self.judge.copy(), budgets, dict(self.reads))

    def recorded(self, item: Recorded) -> None:
        """An event of the log."""
        event, at = item.event, item.recorded_at
        if isinstance(event, Granted):
            project = item.meta.project or ""
            self.judge.grant(project, event, at)
            self.reads[event.allocation] = int(item.meta.cause.partition(":")[2])
            self._granted(project, event, at)
        elif isinstance(event, Released):
            self.judge.release(event.allocation, at)
        elif isinstance(event, PricesSet):
            self.judge.price(event.prices, at)
        elif isinstance(event, BudgetsSet):
            project = item.stream.partition("/")[2]
            self.budgets.setdefault(project, []).append((item.position, event.budgets))
        for project in self.budgets:
            self._whole(project, at)

    def _granted(self, project: str, event: Granted, at: int) -> None:
        """A grant keeps within the budgets that stood when it was decided, or later ones."""
        if project not in self.budgets:
            return
        known = [(0, ()), *self.budgets[project]]
        if not any(
            self._affords(project, event, some, at)
            for some in standing(known, self.reads[event.allocation])
        ):
            text = f"{event.allocation} costs {project} more than it may use: {known[-1][1]}"
            self.fail("I4", text, event.job)

    def _affords(self, project: str, event: Granted, some: tuple[Budget, ...], at: int) -> bool:
        for budget in some:
            if budget.user not in ("", EACH_USER, event.user):
                continue
            user, held = event.user if budget.user else "", self.judge.held[event.allocation]
            window = window_at(budget, at)
            while held.gpu_milli:  # what takes no GPUs costs nothing here
                most = self.judge.standing(project, budget, user, at, window)[1]
                if _exceeds(most, budget):
                    return False
                if budget.rolling or held.until is None or held.until <= window.until:
                    break
                window = window_at(budget, window.until)
        return True

    def _whole(self, project: str, at: int) -> None:
        """Where all that counts was decided with the budgets of today, none is exceeded."""
        position, some = self.budgets[project][-1]
        for budget, user in self._accounts(project, some):
            used, most = [0, 0], [0, 0]
            for name, past, all_of_it in self.judge.counted(
                project, budget, user, window_at(budget, at), at
            ):
                if all_of_it != (0, 0) and self.reads[name] < position:
                    break
                used = [used[0] + past[0], used[1] + past[1]]
                most = [most[0] + all_of_it[0], most[1] + all_of_it[1]]
            else:
                if _exceeds((most[0], most[1]), budget) or used[0] > most[0] or used[1] > most[1]:
                    self.fail("I4", f"{project} uses {used} of {most}, allowed {budget}", "")

    def _accounts(self, project: str, some: tuple[Budget, ...]) -> Iterator[tuple[Budget, str]]:
        for budget in some:
            for user in self.judge.users(project) if budget.user == EACH_USER else [budget.user]:
                yield budget, user


def _exceeds(most: Amount, budget: Budget) -> bool:
    gpu, money = budget.gpu_seconds, budget.money_micro
    return (gpu is not None and most[0] > gpu * 1000 * SECOND) or (
        money is not None and most[1] > money
    )
