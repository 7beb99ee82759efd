"""Advance reservations, maintenance windows and exclusive use, as spans of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domain.errors import Invalid
from domain.scheduling.profile import Amount, Profile

MAX_TIMES = 10_000
"""The most occurrences looked at in one span: a slip of the unit must not stop the planner."""


@dataclass(frozen=True)
class Schedule:
    """From `start` for `duration`, again every `every` while the start is before `until`.

    Whole numbers of the profile's unit. `every` None is once. Days and weeks are fixed spans:
    a time of day in a zone with summer time is for whoever writes the reservation to shift.
    """

    start: int
    duration: int
    every: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.duration < 1:
            raise Invalid(
                "out_of_range",
                "duration: must be 1 or more, and start 0 or more",
                field="duration" if self.duration < 1 else "start",
            )
        if self.every is not None and self.every < self.duration:
            raise Invalid("out_of_range", "every: must be at least the duration", field="every")
        if self.until is not None and self.until <= self.start:
            raise Invalid("out_of_range", "until: must be after the start", field="until")

    def spans(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Its spans that touch [begin, end), in order, whole."""
        if self.every is None:
            if self.start < end and self.start + self.duration > begin:
                yield self.start, self.start + self.duration
            return
        first = max(0, (begin - self.start - self.duration) // self.every + 1)
        start = self.start + first * self.every
        last = end if self.until is None else min(end, self.until)
        if (last - start) // self.every >= MAX_TIMES:
            raise Invalid(
                "out_of_range", f"every: at most {MAX_TIMES} times in a span", field="every"
            )
        while start < last:
            yield start, start + self.duration
            start += self.every


@dataclass(frozen=True)
class Reservation:
    """Something kept free on a schedule: an amount of the pool, or named nodes as a whole.

    Nodes as a whole are exclusive use if `jobs` may run there, maintenance if nobody may.
    """

    name: str
    schedule: Schedule
    amount: Amount | None = None
    nodes: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if (self.amount is None) == (not self.nodes):
            raise Invalid("bad_reservation", "give an amount or nodes, not both", field="amount")
        if self.amount is not None and (min(self.amount) < 0 or not any(self.amount)):
            raise Invalid("out_of_range", "amount: must be positive", field="amount")

    def admits(self, job: str) -> bool:
        """Whether the job may use what is kept."""
        return job in self.jobs


@dataclass(frozen=True)
class Occupied:
    """An amount that is kept from everybody else, from `start` to before `end`."""

    start: int
    end: int
    amount: Amount


def occupied(
    reservations: Iterable[Reservation],
    capacity: Mapping[str, Amount],
    begin: int,
    end: int,
    job: str | None = None,
) -> list[Occupied]:
    """What reservations keep from the job (from all, if None) within [begin, end), by start.

    `capacity` is that of each node of the pool; nodes it does not know keep nothing. A node
    that several reserve as a whole at one time is counted once.
    """
    found: list[Occupied] = []
    whole: dict[str, list[tuple[int, int]]] = {}
    for one in reservations:
        if job is not None and one.admits(job):
            continue
        for start, stop in one.schedule.spans(begin, end):
            span = (max(start, begin), min(stop, end))
            if one.amount is not None:
                found.append(Occupied(*span, one.amount))
            for node in one.nodes & capacity.keys():
                whole.setdefault(node, []).append(span)
    for node in sorted(whole):
        found += [Occupied(*span, capacity[node]) for span in union(whole[node])]
    return sorted(found, key=lambda part: (part.start, part.end, part.amount))


def union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans merged where they touch, in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def withhold(profile: Profile, kept: Iterable[Occupied]) -> None:
    """Take what is kept out of the profile. It comes anyhow: what runs then may overdraw it."""
    for part in kept:
        profile.withhold(part.start, part.end, part.amount)


def node_spans(
    reservations: Iterable[Reservation], node: str, begin: int, end: int, job: str | None = None
) -> list[tuple[int, int]]:
    """When the node as a whole is kept from the job within [begin, end), merged."""
    return union(
        (max(start, begin), min(stop, end))
        for one in reservations
        if node in one.nodes and not (job is not None and one.admits(job))
        for start, stop in one.schedule.spans(begin, end)
    )
