"""Budgets: what a project, or a user of it, may use within a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from domain.errors import Invalid
from domain.values.checks import between
from domain.values.ids import check_name
from domain.values.quantity import LARGEST
from domain.values.time import DAY, HOUR, from_datetime

EACH_USER = "*"
MAX_BUDGETS = 64
MAX_HOURS = 168
MAX_DAYS = 92


class Per(StrEnum):
    """The kind of window. Weeks begin on Monday; everything is UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    HOURS = "hours"  # the last `length` hours, from the beginning of an hour
    DAYS = "days"  # the last `length` days, from the beginning of a day


ROLLING = {Per.HOURS: HOUR, Per.DAYS: DAY}


@dataclass(frozen=True)
class Budget:
    """The most that may be used in a window, in GPU-seconds and in millionths of money.

    Of the whole project, of one `user` of it, or of each one (`*`). None is no limit. A rolling
    window is `length` hours or days long, and up to one longer, since it begins at a full one: in
    no `length` hours is more used than that.
    """

    per: Per
    length: int = 1
    user: str = ""
    gpu_seconds: int | None = None
    money_micro: int | None = None

    @property
    def rolling(self) -> bool:
        """Whether its window moves on while it lasts."""
        return self.per in ROLLING

    def text(self) -> str:
        """The window in words: `this month`, `in the last 24 hours`."""
        if self.rolling:
            return f"in the last {self.length} {self.per}"
        return "today" if self.per is Per.DAY else f"this {self.per}"


@dataclass(frozen=True)
class Window:
    """What is used counts from `since`; no other window begins before `until` (microseconds)."""

    since: int
    until: int


def window_at(budget: Budget, at: int) -> Window:
    """The budget's window at a time."""
    step = ROLLING.get(budget.per)
    if step is not None:
        begin = at - at % step
        return Window(begin - budget.length * step, begin + step)
    if budget.per is Per.MONTH:
        day = datetime.fromtimestamp(at // 1_000_000, UTC)
        year, month = day.year + day.month // 12, day.month % 12 + 1
        begin = from_datetime(datetime(day.year, day.month, 1, tzinfo=UTC))
        return Window(begin, from_datetime(datetime(year, month, 1, tzinfo=UTC)))
    if budget.per is Per.WEEK:
        begin = at - (at + 3 * DAY) % (7 * DAY)  # 1970 began on a Thursday
        return Window(begin, begin + 7 * DAY)
    begin = at - at % DAY
    return Window(begin, begin + DAY)


def check_budgets(budgets: tuple[Budget, ...]) -> None:
    """Refuse windows out of range, budgets without a limit, and two for the same."""
    if len(budgets) > MAX_BUDGETS:
        raise Invalid("too_large", f"budgets: at most {MAX_BUDGETS}", field="budgets")
    seen = set()
    for number, budget in enumerate(budgets):
        field = f"budgets[{number}]"
        most = {Per.HOURS: MAX_HOURS, Per.DAYS: MAX_DAYS}.get(budget.per, 1)
        between(f"{field}.length", budget.length, 1, most)
        if budget.user not in ("", EACH_USER):
            check_name(f"{field}.user", budget.user)
        limits = {"gpu_hours": budget.gpu_seconds, "money": budget.money_micro}
        if all(limit is None for limit in limits.values()):
            detail = f"{field}: give gpu_hours or money, or leave the budget out"
            raise Invalid("no_limit", detail, field=field)
        for name, limit in limits.items():
            if limit is not None:
                between(f"{field}.{name}", limit, 0, LARGEST)
        key = (budget.per, budget.length, budget.user)
        if key in seen:
            detail = f"{field}: the same user and window as one before it"
            raise Invalid("duplicate_budget", detail, field=field)
        seen.add(key)
