"""Bounds: how much a cycle may do, and where in the queue it goes on from the one before."""

from __future__ import annotations

from dataclasses import dataclass

from domain.values.ids import JobId, ProjectId

# Units of work, as measured against each other with 2,000 and 10,000 nodes (docs/scheduling.md).
TURN = 1  # whatever it comes to: rank, limits, what is known of its demand
TRY = 4  # looking for seats
SEARCH = 8  # looking for jobs that may make room
HOLD = 40  # looking for the moment at which a job can start
TELL = 8  # finding out why nothing like it fits


@dataclass(frozen=True)
class Kept:
    """A job for which room is kept, for so many seats; 0: others were asked to leave, no more."""

    job: JobId
    seats: int


@dataclass(frozen=True)
class Cursor:
    """Where a round goes on: with this job, or where it would stand if it no longer waits.

    All that rank before it were decided in this round. Of them are tried again those for whom room
    is `kept` or a start is `held`, those that were never told anything, and those that may fit on
    nodes where something came free after the position `read`.
    """

    job: JobId
    since: int
    project: ProjectId
    user: str
    priority: int
    expected_seconds: int | None
    deadline: int | None
    read: int
    kept: tuple[Kept, ...] = ()
    held: tuple[JobId, ...] = ()


@dataclass(frozen=True)
class Bound:
    """At most about so many units of work (None: no bound), from the cursor on or the top."""

    units: int | None = None
    cursor: Cursor | None = None


WHOLE = Bound()
"""The whole queue in one cycle."""
