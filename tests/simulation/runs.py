"""Many worlds at once, on all processors."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, pool

from tests.simulation.guards import Guard
from tests.simulation.world import Outcome, run

SHARED = "PYTEST_XDIST_WORKER" in os.environ
"""Whether other test processes keep the other processors busy."""
PROCESSES = 1 if SHARED else len(os.sched_getaffinity(0))
Task = tuple[int, frozenset[Guard], Collection[str] | None]
"""Seed, the guards that are off, and what alone may happen: the arguments of `run`."""


@contextmanager
def workers() -> Iterator[pool.Pool]:
    """A process for each processor, begun anew: a fork would inherit locks of other threads."""
    with get_context("spawn").Pool(PROCESSES, logging.disable) as found:
        yield found


def outcomes(crew: pool.Pool, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """How these worlds went, in order."""
    return crew.imap(_run, tasks)


def first_failure(crew: pool.Pool, tasks: Iterable[Task]) -> Outcome | None:
    """The first of these worlds that breaks an invariant; hardly more are run than that takes."""
    waiting = iter(tasks)
    while batch := list(islice(waiting, 2 * PROCESSES)):
        for outcome in crew.map(_run, batch, chunksize=1):
            if outcome.violation is not None:
                return outcome
    return None


def _run(task: Task) -> Outcome:
    return run(*task)
