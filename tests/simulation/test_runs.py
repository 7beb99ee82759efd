"""Worlds in other processes: one that raises is a failure with its story, not a pool that waits."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import pool

import pytest

from domain.event import StreamId
from infra.codec import Poison, UnknownEvent
from tests.simulation.loop import Crashed
from tests.simulation.runs import Task, first_failure, outcomes, workers

TIMEOUT = 120
POISON = Poison(StreamId("job/1"), 7, 1, "job.eaten.v1", "unknown")


class Only(tuple[str, ...]):
    """What alone may happen; whoever asks for the first job is told something else."""

    def __contains__(self, name: object) -> bool:
        if name == "job#1":
            raise UnknownEvent(POISON) if "poison" in list(self) else Crashed
        return super().__contains__(name)


@pytest.fixture(scope="module")
def crew() -> Iterator[pool.Pool]:
    with workers() as found:
        yield found


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("poison", "UnknownEvent", "position 7: job.eaten.v1: unknown"),
        ("killed", "Crashed", "Crashed"),
    ],
)
def test_a_world_that_raises_is_a_failure_of_its_seed(
    what: str, name: str, words: str, crew: pool.Pool
) -> None:
    tasks: list[Task] = [
        (1, frozenset(), ("job",)),
        (2, frozenset(), Only((what, "control"))),
        (3, frozenset(), ("job",)),
    ]
    before, raised, after = outcomes(crew, tasks)
    assert (before.violation, after.violation) == (None, None)
    assert raised.seed == 2
    assert raised.violation is not None
    assert raised.violation.invariant == f"raised {name}"
    assert words in raised.violation.story
    assert "in submit" in raised.violation.story


@pytest.mark.timeout(TIMEOUT)
def test_what_raises_does_not_show_that_a_guard_is_missed(crew: pool.Pool) -> None:
    with pytest.raises(RuntimeError, match=r"^seed 2: raised UnknownEvent: position 7"):
        first_failure(crew, [(2, frozenset(), Only(("poison",)))])
