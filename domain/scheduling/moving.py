"""Moving: what runs where a reservation or maintenance begins, and when it is to leave."""

from __future__ import annotations

from collections.abc import Iterator

from domain.job.job import Job
from domain.job.transitions import Phase
from domain.reservation.schedule import Span
from domain.scheduling.ends import expected_end
from domain.scheduling.grace import grace_of
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.windows import Windows, admits
from domain.values.ids import AllocationId
from domain.values.time import SECOND


def moving(snapshot: Snapshot, now: int) -> set[AllocationId]:
    """What is to leave nodes by now that a window keeps, or will keep soon, from its job.

    A job is asked its grace before the window, so that it is gone when that begins; one that is
    expected to be gone by then is asked only when it is not.
    """
    if not snapshot.reservations:
        return set()
    return {held for held, due in _dues(snapshot, Windows(snapshot, now), now) if due <= now}


def next_moment(snapshot: Snapshot, now: int) -> int | None:
    """When next a window begins or ends, or something is to leave for one; None: never."""
    if not snapshot.reservations:
        return None
    windows = Windows(snapshot, now)
    spans = [one.terms.schedule.next_after(now) for one in windows.live]
    moments = [moment for span in spans if span is not None for moment in span]
    moments += [span[0] - _longest(snapshot) for span in spans if span is not None]
    moments += [due for _, due in _dues(snapshot, windows, now)]
    return min((moment for moment in moments if moment > now), default=None)


def _dues(snapshot: Snapshot, windows: Windows, now: int) -> Iterator[tuple[AllocationId, int]]:
    """What runs on nodes that a near window keeps from its job, and when it is to leave."""
    for number, one in enumerate(windows.live):
        span = one.terms.schedule.next_after(now)
        if span is None or span[0] - _longest(snapshot) > now:
            continue
        nodes = windows.nodes(number, span) & snapshot.nodes.keys()
        for name in sorted({held for node in nodes for held in snapshot.nodes[node].held}):
            job = snapshot.jobs[snapshot.allocations[name].job]
            if job.phase in (Phase.STARTING, Phase.RUNNING) and not admits(one.terms, job):
                yield name, _due(job, span, grace_of(job, snapshot) * SECOND, now)


def _due(job: Job, span: Span, grace: int, now: int) -> int:
    end = expected_end(job, now)
    return span[0] if end is not None and end <= span[0] else span[0] - grace


def _longest(snapshot: Snapshot) -> int:
    """No job's grace is longer (microseconds)."""
    return max(snapshot.policy.scheduler.grace_seconds, snapshot.longest_grace) * SECOND
