"""Many worlds at once, on all processors."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, pool

from tests.simulation.guards import Guard
from tests.simulation.invariants import Violation
from tests.simulation.loop import Crashed
from tests.simulation.world import Outcome, World

SHARED = "PYTEST_XDIST_WORKER" in os.environ
"""Whether other test processes keep the other processors busy."""
PROCESSES = 1 if SHARED else len(os.sched_getaffinity(0))
Task = tuple[int, frozenset[Guard], Collection[str] | None]
"""Seed, the guards that are off, and what alone may happen: the arguments of `World`."""
RAISED = "raised "
"""Before the name of an exception, in place of an invariant."""


@contextmanager
def workers() -> Iterator[pool.Pool]:
    """A process for each processor, begun anew: a fork would inherit locks of other threads."""
    with get_context("spawn").Pool(PROCESSES, logging.disable) as found:
        yield found


def outcomes(crew: pool.Pool, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """How these worlds went, in order."""
    return crew.imap(_run, tasks)


def first_failure(crew: pool.Pool, tasks: Iterable[Task]) -> Outcome | None:
    """The first of these worlds that breaks an invariant; hardly more are run than that takes.

    One that comes to no end because it raises shows no invariant: that is an error here.
    """
    waiting = iter(tasks)
    while batch := list(islice(waiting, 2 * PROCESSES)):
        for outcome in crew.map(_run, batch, chunksize=1):
            if outcome.violation is not None:
                if outcome.violation.invariant.startswith(RAISED):
                    raise RuntimeError(f"seed {outcome.seed}: {outcome.violation}")
                return outcome
    return None


def _run(task: Task) -> Outcome:
    """The world of a task. Whatever it raises is told in words: not every exception can be
    sent from one process to another, and the pool would wait for ever."""
    world: World | None = None
    try:
        world = World(*task)
        return world.run()
    except (Exception, Crashed) as error:  # noqa: BLE001 - told as a failure of its seed
        return _raised(task[0], world, error)


def _raised(seed: int, world: World | None, error: BaseException) -> Outcome:
    name, story = type(error).__name__, "".join(traceback.format_exception(error))
    violation = Violation(f"{RAISED}{name}", str(error), "", story)
    happened = () if world is None else tuple(world.plan.done)
    return Outcome(seed, 0, 0, 0, "", happened, violation)
