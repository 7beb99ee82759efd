"""A judge of budgets who knows only the events: what was used and reserved, counted anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from domain.allocation.events import Granted
from domain.policy.events import PriceList
from domain.project.budget import Budget, Window, window_at
from domain.values.time import HOUR

Amount = tuple[int, int]
"""GPU-milli-microseconds, and micro-units of money."""
Prices = list[tuple[int, PriceList | None]]
"""Price lists, each from a moment on."""


@dataclass(frozen=True)
class Held:
    """An interval in which a user of a project held GPUs; `fixed` is the rate of its terms."""

    project: str
    user: str
    gpu_milli: int
    model: str
    began: int
    ended: int | None
    until: int | None
    fixed: int | None

    def amount(self, since: int, until: int, prices: Prices) -> Amount:
        """What lies in a stretch, each stretch of prices rounded."""
        begin = max(since, self.began)
        end = min(x for x in (until, self.ended, self.until) if x is not None)
        money, edges = 0, [at for at, _ in prices] + [2**70]
        spans = [(begin, end, self.fixed)]
        if self.fixed is None:
            spans = [
                (max(begin, at), min(end, edges[n + 1]), _rate(listed, self.model))
                for n, (at, listed) in enumerate(prices)
            ]
        for first, last, rate in spans:
            assert rate is not None
            span, unit = max(0, last - first), 1000 * HOUR
            whole, rest = divmod(rate * self.gpu_milli * span, unit)
            money += whole + (2 * rest >= unit)
        return self.gpu_milli * max(0, end - begin), money


def _rate(prices: PriceList | None, model: str) -> int:
    if prices is None:
        return 0
    return {p.model: p.micro_per_hour for p in prices.gpus}.get(model, prices.gpu_micro)


@dataclass
class Judge:
    """What is and was held, by allocation. Prices of CPUs and memory are not counted."""

    held: dict[str, Held] = field(default_factory=dict)
    prices: Prices = field(default_factory=lambda: [(0, None)])

    def copy(self) -> Judge:
        return Judge(dict(self.held), list(self.prices))

    def grant(self, project: str, event: Granted, at: int) -> None:
        """Seats are held from now on."""
        total, terms = event.per_seat * len(event.seats), event.terms
        until = None if terms is None else terms.until
        fixed = None if terms is None else terms.rates.gpu_micro
        self.held[event.allocation] = Held(
            project, event.user, total.gpu_milli, event.gpu_model, at, None, until, fixed
        )

    def release(self, allocation: str, at: int) -> None:
        """They are held no more."""
        self.held[allocation] = replace(self.held[allocation], ended=at)

    def price(self, prices: PriceList, at: int) -> None:
        """Other prices from now on."""
        self.prices.append((at, prices))

    def users(self, project: str) -> list[str]:
        """Who ever held anything in the project."""
        return sorted({held.user for held in self.held.values() if held.project == project})

    def counted(
        self, project: str, budget: Budget, user: str, window: Window, now: int
    ) -> Iterator[tuple[str, Amount, Amount]]:
        """What counts in a budget's window, by allocation: used, and used with what is reserved.

        `user` is whose it is, or nobody for a budget of the whole project.
        """
        for name, held in self.held.items():
            if held.project != project or user not in ("", held.user):
                continue
            used = held.amount(window.since, now, self.prices)
            end = window.until
            if budget.rolling:
                end = max(window.since, held.began) + window.until - window.since
            reserved = held.until is not None and held.ended is None
            most = held.amount(window.since, end, self.prices) if reserved else used
            yield name, used, most

    def standing(
        self, project: str, budget: Budget, user: str, now: int, window: Window | None = None
    ) -> tuple[Amount, Amount]:
        """Used, and used with what is reserved, in a window; without one, in that of now."""
        used, most = [0, 0], [0, 0]
        window = window or window_at(budget, now)
        for _, past, all_of_it in self.counted(project, budget, user, window, now):
            for n in range(2):
                used[n] += past[n]
                most[n] += all_of_it[n]
        return (used[0], used[1]), (most[0], most[1])
