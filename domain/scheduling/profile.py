"""Availability over time: a step function from whole times to a vector of resources."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Amount = tuple[int, ...]
"""How much of each resource, all in the order their owner chose: CPU, memory, GPUs of a pool..."""


def covers(free: Amount, amount: Amount) -> bool:
    """Whether `free` has the amount; a resource that is not asked for may be overdrawn."""
    return all(have >= want or not want for have, want in zip(free, amount, strict=True))


class Profile:
    """What is free from each time on; from the last one for ever.

    Times are whole numbers of any one unit, spans are half open. Looking up costs
    O(log steps) and then the steps looked at; changing costs O(log steps + steps changed)
    and a shift of a list. Equal neighbours are one step.
    """

    def __init__(self, capacity: Amount, start: int = 0) -> None:
        if any(amount < 0 for amount in capacity):
            raise ValueError("capacity must not be negative")
        self._times = [start]
        self._free = [capacity]

    def copy(self) -> Profile:
        """A profile like this one that changes by itself."""
        other = Profile(tuple(0 for _ in self._free[0]), self._times[0])
        other._times, other._free = self._times.copy(), self._free.copy()
        return other

    def steps(self) -> Iterator[tuple[int, Amount]]:
        """Each time something changes and what is free from then on."""
        return zip(self._times, self._free, strict=True)

    def at(self, time: int) -> Amount:
        """What is free then. ValueError before the profile begins."""
        return self._free[self._step(time)]

    def fits(self, start: int, end: int, amount: Amount) -> bool:
        """Whether the amount is free during the whole span."""
        if end <= start:
            return True
        step = self._step(start)
        while step < len(self._times) and self._times[step] < end:
            if not covers(self._free[step], amount):
                return False
            step += 1
        return True

    def earliest(self, amount: Amount, duration: int, not_before: int) -> int | None:
        """The first time from which the amount is free for `duration`; None if there is none."""
        step = self._step(max(not_before, self._times[0]))
        start, last = max(not_before, self._times[0]), len(self._times) - 1
        while True:
            if not covers(self._free[step], amount):
                if step == last:
                    return None
                start = self._times[step + 1]
            elif step == last or self._times[step + 1] - start >= duration:
                return start
            step += 1

    def reserve(self, start: int, end: int, amount: Amount) -> None:
        """Take the amount during the span. ValueError, and nothing taken, if it is not free."""
        if not self.fits(start, end, amount):
            raise ValueError(f"{amount} is not free from {start} to {end}")
        self.withhold(start, end, amount)

    def withhold(self, start: int, end: int, amount: Amount) -> None:
        """Take the amount whether it is there or not: what comes anyhow may overdraw."""
        self._add(start, end, tuple(-part for part in amount))

    def release(self, start: int, end: int, amount: Amount) -> None:
        """Give the amount back during the span."""
        self._add(start, end, amount)

    def forget(self, before: int) -> None:
        """Begin at `before`: steps that are over by then are dropped."""
        if before > self._times[0]:
            step = self._step(before)
            del self._times[:step], self._free[:step]
            self._times[0] = before

    def _step(self, time: int) -> int:
        step = bisect_right(self._times, time) - 1
        if step < 0:
            raise ValueError(f"{time} is before the profile begins at {self._times[0]}")
        return step

    def _add(self, start: int, end: int, amount: Amount) -> None:
        if end <= start or not any(amount):
            return
        first, after = self._split(start), self._split(end)
        for step in range(first, after):
            self._free[step] = tuple(
                have + part for have, part in zip(self._free[step], amount, strict=True)
            )
        self._join(after)
        self._join(first)

    def _split(self, time: int) -> int:
        """The step that begins at this time, made if need be."""
        step = bisect_left(self._times, time)
        if step == len(self._times) or self._times[step] != time:
            self._free.insert(step, self._free[self._step(time)])
            self._times.insert(step, time)
        return step

    def _join(self, step: int) -> None:
        """Make the step one with that before it if they are equal."""
        if step and self._free[step] == self._free[step - 1]:
            del self._times[step], self._free[step]
