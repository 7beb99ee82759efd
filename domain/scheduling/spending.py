"""Spending: what each user of a project used, as windows of time count it; folded from the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from domain.allocation.events import Granted
from domain.policy.events import PriceList
from domain.policy.prices import rates_of
from domain.project.budget import MAX_DAYS, MAX_HOURS
from domain.values.ids import AllocationId
from domain.values.money import Rates
from domain.values.resources import Resources
from domain.values.time import DAY, HOUR

Amount = tuple[int, int]
"""GPU-milli-microseconds, and micro-units of money."""
User = tuple[str, str]
"""A project and one of its users."""
NONE: Amount = (0, 0)


def add(one: Amount, other: Amount) -> Amount:
    """The sum of two amounts."""
    return one[0] + other[0], one[1] + other[1]


class Piece(NamedTuple):
    """Something held at one set of rates; no end is known before its release, if not by `until`."""

    project: str
    user: str
    amount: Resources
    gpu_model: str
    rates: Rates
    since: int
    until: int | None = None

    def between(self, since: int, until: int) -> Amount:
        """What of it lies between two times, in money rounded once as a whole."""
        begin, end = max(self.since, since), until if self.until is None else min(self.until, until)
        span = max(0, end - begin)
        return self.amount.gpu_milli * span, self.rates.cost(self.amount, span)


@dataclass
class Ring:
    """Sums of ended pieces, for every window that begins at a multiple of `step`.

    `whole` are pieces by the step in which they began. A window that begins later than a piece has
    only its rest, which is rounded by itself: `rest` are those, by the step the window begins at.
    Steps more than `keep` before the last are forgotten.
    """

    step: int
    keep: int
    whole: dict[int, Amount] = field(default_factory=dict)
    rest: dict[int, Amount] = field(default_factory=dict)
    _last: int | None = field(default=None, compare=False, repr=False)

    def put(self, piece: Piece, end: int, amount: Amount) -> None:
        """A piece ended, which came to this amount in all."""
        first, last = piece.since // self.step, (end - 1) // self.step
        oldest = last - self.keep
        if last != self._last:
            self._last = last
            for sums in (self.whole, self.rest):
                for old in [step for step in sums if step < oldest]:
                    del sums[old]
        if first >= oldest:
            self.whole[first] = add(self.whole.get(first, NONE), amount)
        for step in range(max(first + 1, oldest), last + 1):
            self.rest[step] = add(self.rest.get(step, NONE), piece.between(step * self.step, end))

    def since(self, at: int) -> Amount:
        """What was used from `at`, the beginning of a step that is kept, in pieces that ended."""
        begin = at // self.step
        found = self.rest.get(begin, NONE)
        for step, amount in self.whole.items():
            if step >= begin:
                found = add(found, amount)
        return found


@dataclass
class Spending:
    """What ended, by user, as steps of hours and of days; and what is held now."""

    ended: dict[User, tuple[Ring, Ring]] = field(default_factory=dict)
    held: dict[AllocationId, Piece] = field(default_factory=dict)

    def grant(self, project: str, event: Granted, prices: PriceList | None, at: int) -> None:
        """Seats are held from now on: on terms, or at the prices of the time."""
        total, terms = event.per_seat * len(event.seats), event.terms
        rates = rates_of(prices, event.gpu_model) if terms is None else terms.rates
        until = None if terms is None else terms.until
        piece = Piece(project, event.user, total, event.gpu_model, rates, at, until)
        self.held[event.allocation] = piece

    def release(self, allocation: AllocationId, at: int) -> None:
        """They are held no more."""
        self._end(self.held.pop(allocation), at)

    def reprice(self, prices: PriceList, at: int) -> None:
        """Other prices from now on, but for what is held on terms."""
        for name, piece in self.held.items():
            if piece.until is None:
                self._end(piece, at)
                rates = rates_of(prices, piece.gpu_model)
                self.held[name] = Piece(
                    piece.project, piece.user, piece.amount, piece.gpu_model, rates, at
                )

    def rings_of(self, project: str, user: str) -> tuple[Ring, Ring]:
        """What a user's ended pieces come to, by steps of hours and of days."""
        rings = self.ended.get((project, user))
        if rings is None:
            hours, days = Ring(HOUR, MAX_HOURS + 1), Ring(DAY, MAX_DAYS + 1)
            rings = self.ended[project, user] = hours, days
        return rings

    def _end(self, piece: Piece, at: int) -> None:
        end = at if piece.until is None else min(at, piece.until)
        if end > piece.since:
            amount = piece.between(piece.since, end)
            for ring in self.rings_of(piece.project, piece.user):
                ring.put(piece, end, amount)
