"""Budgets in a cycle: what each still has, checked and reserved as it is decided.

A placement under a budget gets terms: fixed rates, and an end until which all it can cost is
reserved. As time goes on, jobs end and windows pass, what is used and reserved together only
falls, and a placement adds no more than is left: so a budget is never exceeded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domain.allocation.events import Terms
from domain.job.job import Job
from domain.policy.prices import rates_of
from domain.project.budget import EACH_USER, ROLLING, Budget, Per, Window, window_at
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.spending import NONE, Amount, Piece, add
from domain.values.ids import ProjectId
from domain.values.money import Rates
from domain.values.time import SECOND

START_SECONDS = 240
"""Reserved beside the time a job runs: for images to be pulled and seats to start."""
END_SECONDS = 60
"""Reserved after the grace: for the kill, and for the report of it to come in."""
_GPU_SECOND = 1000 * SECOND


@dataclass(frozen=True)
class Short:
    """A budget that has too little, in words, and when it may have enough (microseconds).

    Without a name the job has neither a time limit nor an estimate to reserve anything for.
    """

    blocker: str
    frees_at: int | None = None


UNBOUNDED = Short("")


@dataclass(frozen=True)
class Account:
    """A budget as it is charged: for a user of the project, or for all of it (no user)."""

    project: str
    budget: Budget
    user: str

    def text(self, word: str) -> str:
        """What is short: `GPU-hours this month of project ml`."""
        whose = f"user {self.user}" if self.user else f"project {self.project}"
        return f"{word} {self.budget.text()} of {whose}"

    def short(self, amount: Amount) -> str:
        """What of it such an amount would exceed, or nothing."""
        gpu, money = self.budget.gpu_seconds, self.budget.money_micro
        if gpu is not None and amount[0] > gpu * _GPU_SECOND:
            return "GPU-hours"
        return "money" if money is not None and amount[1] > money else ""

    def charges(self, piece: Piece) -> bool:
        """Whether it is charged for the piece.

        Money also for what costs nothing now: without terms it would be charged at later prices.
        """
        if self.user not in ("", piece.user):
            return False
        takes_gpu = self.budget.gpu_seconds is not None and piece.amount.gpu_milli > 0
        return takes_gpu or self.budget.money_micro is not None

    def part(self, piece: Piece, window: Window) -> Amount:
        """What of a piece counts in a window at most: used, and reserved to its end.

        In a rolling window that is as much as the longest window can hold of it.
        """
        if self.budget.rolling:
            begin = max(piece.since, window.since)
            return piece.between(begin, begin + window.until - window.since)
        return piece.between(window.since, window.until)


class Budgets:
    """The budgets of a cell in one cycle."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._snapshot = snapshot
        self._now = now
        self._known: dict[tuple[Account, Window], Amount] = {}
        self._pieces: dict[str, list[Piece]] = defaultdict(list)
        self._users: dict[str, list[str]] = defaultdict(list)
        if snapshot.budgets:
            for piece in snapshot.spending.held.values():
                self._pieces[piece.project].append(_ended_by(piece, now))
            for project, user in snapshot.spending.ended:
                self._users[project].append(user)
        self._models: set[str] | None = None

    def limits(self, project: ProjectId) -> bool:
        """Whether the project has any."""
        return project in self._snapshot.budgets

    def short(self, job: Job, seats: int) -> Short | None:
        """The budget that has too little for so many seats of the job, if one has."""
        if job.spec.project not in self._snapshot.budgets:
            return None
        missing, wishes = None, self._wishes(job, seats, self._dearest(job))
        for new in wishes:
            missing = self._missing(new)
            if missing is None:
                return None
        return missing

    def charge(self, job: Job, seats: int, model: str) -> Terms | None:
        """Reserve what the seats may cost, where a budget is charged, and on which terms."""
        if job.spec.project not in self._snapshot.budgets:
            return None
        rates = rates_of(self._snapshot.policy.prices, model)
        for new in self._wishes(job, seats, rates):
            if not self._accounts(new):
                return None
            if self._missing(new) is None:
                assert new.until is not None, "else it is short"
                self._reserve(new)
                return Terms(new.until, rates)
        raise AssertionError("it was not short before it was placed")

    def committed(self, account: Account, window: Window) -> Amount:
        """Used in the window so far, and reserved for the rest of it."""
        found = self._known.get((account, window))
        if found is None:
            found = self._used(account, window)
            for piece in self._pieces[account.project]:
                if account.user in ("", piece.user):
                    found = add(found, account.part(piece, window))
            self._known[account, window] = found
        return found

    def _used(self, account: Account, window: Window) -> Amount:
        """Used in the window by what has ended."""
        if window.since > self._now:
            return NONE  # it is yet to come
        number = 0 if account.budget.per is Per.HOURS else 1
        found = NONE
        for user in [account.user] if account.user else self._users[account.project]:
            rings = self._snapshot.spending.ended.get((account.project, user))
            if rings is not None:
                found = add(found, rings[number].since(window.since))
        return found

    def _reserve(self, new: Piece) -> None:
        self._pieces[new.project].append(new)
        for (account, window), amount in self._known.items():
            if account.project == new.project and account.user in ("", new.user):
                self._known[account, window] = add(amount, account.part(new, window))

    def _accounts(self, piece: Piece) -> list[Account]:
        budgets = self._snapshot.budgets[ProjectId(piece.project)]
        accounts = (
            Account(piece.project, b, piece.user if b.user == EACH_USER else b.user)
            for b in budgets
        )
        return [account for account in accounts if account.charges(piece)]

    def _missing(self, new: Piece) -> Short | None:
        accounts = self._accounts(new)
        if accounts and new.until is None:
            return UNBOUNDED
        blocker, frees_at = "", 0
        for account in accounts:
            word = self._short(account, new)
            if word:
                blocker = blocker or account.text(word)
                at = self._frees_at(account, new)
                if at is None:
                    return Short(account.text(word))
                frees_at = max(frees_at, at)
        return Short(blocker, frees_at) if blocker else None

    def _short(self, account: Account, new: Piece) -> str:
        """What the account lacks for the piece, in any window that it counts in."""
        window = window_at(account.budget, new.since)
        while True:
            amount = add(self.committed(account, window), account.part(new, window))
            word = account.short(amount)
            assert new.until is not None, "it is asked for to an end"
            if word or account.budget.rolling or new.until <= window.until:
                return word
            window = window_at(account.budget, window.until)

    def _frees_at(self, account: Account, new: Piece) -> int | None:
        """The beginning of the first window that would have enough, as far as is known now."""
        assert new.until is not None, "it is asked for to an end"
        first = window_at(account.budget, self._now).until
        step = ROLLING.get(account.budget.per, 0)
        low, high = 0, account.budget.length + 1 if account.budget.rolling else 1

        def begin(number: int) -> int:
            return first + (number - 1) * step

        def enough(number: int) -> bool:
            shift = begin(number) - new.since
            assert new.until is not None
            later = new._replace(since=new.since + shift, until=new.until + shift)
            return not self._short(account, later)

        if not enough(high):
            return None
        while high - low > 1:  # what a rolling window holds only falls as it moves on
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return begin(high)

    def _wishes(self, job: Job, seats: int, rates: Rates) -> Iterator[Piece]:
        """What may be reserved for the job: its time limit, else its estimate; or no end."""
        spec, amount = job.spec, job.spec.resources * seats
        own = Piece(spec.project, job.submitted_by, amount, "", rates, self._now)
        policy = self._snapshot.policy.scheduler
        grace = policy.grace_seconds if spec.grace_seconds is None else spec.grace_seconds
        longest = spec.time_limit_seconds or spec.estimate_seconds
        if longest is None:
            yield own
            return
        shortest = min(longest, spec.estimate_seconds or longest)
        for seconds in dict.fromkeys((longest, shortest)):
            lasts = START_SECONDS + seconds + grace + END_SECONDS
            yield own._replace(until=self._now + lasts * SECOND)

    def _dearest(self, job: Job) -> Rates:
        """The rates for the dearest GPUs the job may get: which ones is not decided yet."""
        prices = self._snapshot.policy.prices
        if not job.spec.resources.gpu_milli:
            return rates_of(prices, "")
        if self._models is None:
            nodes = self._snapshot.nodes.values()
            self._models = {device.model for s in nodes for device in s.node.offer.devices}
        wanted = set(job.spec.gpu_types)
        models = self._models & wanted if wanted else self._models
        rates = (rates_of(prices, model) for model in models or {""})
        return max(rates, key=lambda found: found.gpu_micro)


def stop_at(terms: Terms, grace_seconds: int) -> int:
    """When a job has to be asked to end, to be gone by the end of its terms (microseconds)."""
    return terms.until - (grace_seconds + END_SECONDS) * SECOND


def next_turn(budgets: Mapping[ProjectId, Iterable[Budget]], after: int) -> int | None:
    """When the next window of a budget begins (microseconds); None without budgets."""
    kinds = {(b.per, b.length): b for some in budgets.values() for b in some}
    return min((window_at(b, after).until for b in kinds.values()), default=None)


def _ended_by(piece: Piece, now: int) -> Piece:
    """Held without terms, it counts as far as it is used: nothing is reserved for it."""
    return piece if piece.until is not None else piece._replace(until=now)
