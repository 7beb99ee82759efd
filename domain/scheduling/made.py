"""What a cycle of the scheduler decides: who starts, who makes room or moves, who waits and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.allocation.events import Terms
from domain.allocation.seat import Seat
from domain.scheduling.bound import Cursor
from domain.scheduling.telling import Wait
from domain.values.ids import JobId


@dataclass(frozen=True)
class Placement:
    """A job's whole gang, the GPU model it gets, and what it may cost where it has a budget."""

    job: JobId
    seats: tuple[Seat, ...]
    gpu_model: str
    terms: Terms | None = None


@dataclass(frozen=True)
class Preemption:
    """A victim and for whom it makes room; with one of its victims the seats it gets."""

    victim: JobId
    preemptor: JobId
    kept: tuple[Seat, ...] = ()


@dataclass(frozen=True)
class Move:
    """A job that is asked to leave for other seats, which are kept for it."""

    job: JobId
    seats: tuple[Seat, ...]


@dataclass
class Plan:
    """The decisions of a cycle, in the order they were made.

    `moves` are of running jobs that are to run elsewhere, `stays` why others of those cannot yet.
    `waits` are only of jobs that were told another kind of reason before, or none; with `more` not
    all of them were named, or not all jobs decided: the next cycle goes on, with `cursor` from
    there. `starts` are those held for jobs that wait (microseconds). `units` of work were done, and
    `left` lines not come to.
    """

    placements: list[Placement] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    stays: list[Wait] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    more: bool = False
    starts: dict[JobId, int] = field(default_factory=dict)
    cursor: Cursor | None = None
    units: int = 0
    left: int = 0
