"""A failing world made smaller: whatever can be left out with the same invariant broken, is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from multiprocessing import pool

from tests.simulation.guards import Guard
from tests.simulation.runs import Task, outcomes
from tests.simulation.world import Outcome

MOST_RUNS = 400


def shrink(crew: pool.Pool, failed: Outcome, off: frozenset[Guard] = frozenset()) -> Outcome:
    """The smallest failure found in `MOST_RUNS` worlds: delta debugging (Zeller, 2002).

    Leaves out halves of what happened, then quarters, and so on to single jobs and faults.
    """
    smallest, parts, runs = failed, 2, 0
    while runs < MOST_RUNS:
        names = smallest.happened
        tasks: list[Task] = [(failed.seed, off, kept) for kept in _without_a_part(names, parts)]
        runs += len(tasks)
        smaller = _smallest(failed, list(outcomes(crew, tasks)), len(names))
        if smaller is not None:
            smallest, parts = smaller, max(2, parts - 1)
        elif parts >= len(names):
            break
        else:
            parts = min(len(names), 2 * parts)
    return smallest


def _without_a_part(names: Sequence[str], parts: int) -> list[tuple[str, ...]]:
    """The names less each of so many parts in turn."""
    cuts = [len(names) * n // parts for n in range(parts + 1)]
    return [(*names[:begin], *names[end:]) for begin, end in pairwise(cuts) if begin < end]


def _smallest(failed: Outcome, found: list[Outcome], below: int) -> Outcome | None:
    """The one of fewest names that breaks the same invariant with fewer names than before."""
    assert failed.violation is not None
    same = [
        outcome
        for outcome in found
        if outcome.violation is not None
        and outcome.violation.invariant == failed.violation.invariant
        and len(outcome.happened) < below
    ]
    return min(same, key=lambda outcome: len(outcome.happened), default=None)
