"""Simulated worlds: nothing that must hold is ever broken, and a seed makes one world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from multiprocessing import pool

import pytest

from tests.simulation.plan import WORK
from tests.simulation.runs import outcomes, workers
from tests.simulation.world import run

SEEDS = 400
"""What two processors run in some four minutes; `make simulate` runs 2,000."""
EACH = 200
"""Worlds in one test."""

FAULTS = {
    "agent-killed",
    "burst",
    "cell-away",
    "clock-at-start",
    "clock-steps",
    "control",
    "cordon",
    "cut-at-grant",
    "database-away",
    "failover-at-start",
    "failover-behind",
    "failover-in-step",
    "flap",
    "gpu-breaks",
    "kafka-away",
    "lag-at-node",
    "leader-killed",
    "lock-lost",
    "machine-dies",
    "offset-jumps",
    "partition",
    "poison",
    "projector-stalls",
    "quota",
    "relay-stalls",
    "reprioritize",
    "save-interrupted",
    "slow-disk",
    "stuck-registration",
    "topic-cut",
    "topic-lost",
    *WORK,
}
"""What is planned, by the names in `faults.py`."""

SEEN = {
    "a GPU breaks under a job",
    "a commit that is not known",
    "a job comes to the end of what its budget paid",
    "a job is placed for one that waits for it",
    "a job is placed on terms of a budget",
    "a job leaves for a window",
    "a job leaves to run elsewhere",
    "an instance of a GPU is given",
    "a failover that lost events",
    "a gang lost one of its seats",
    "a link flaps",
    "a message cut off",
    "a message lost",
    "a message twice",
    "a poison event",
    "a position of a relay that is over",
    "a stopped job saves",
    "a priority changed while it was placed",
    "a process killed after its commit",
    "a process killed before its commit",
    "a process killed before it published",
    "a process killed after it published",
    "a process killed while it published",
    "a process stands still",
    "a write of a leader that is over",
    "a write of a session that is over",
    "an agent tells again what was lost",
    "an agent dies while a stopped job saves",
    "kafka: a batch in two parts",
    "kafka: a record from before a loss",
    "kafka: a record twice",
    "kafka: a relay stands still",
    "kafka: an acknowledgement lost",
    "kafka: an offset set to the earliest",
    "kafka: an offset set to the latest",
    "kafka: foreign_topic",
    "kafka: kafka_unavailable",
    "kafka: log_gap",
    "kafka: stale_epoch",
    "kafka: topic_lost",
    "slow disk",
    "the clock steps",
    "two writers at once",
}
"""What came about, by the names counted in `Loop.seen`."""


@pytest.fixture(scope="module")
def crew() -> Iterator[pool.Pool]:
    with workers() as found:
        yield found


def test_without_faults_every_job_ends_in_time() -> None:
    found = [run(seed, only=("job", "control")) for seed in range(1, 6)]
    assert all(outcome.violation is None for outcome in found)
    assert all(outcome.simulated_us == 600_000_000 for outcome in found)


def test_without_faults_windows_are_clear_in_time_and_nothing_runs_unpaid() -> None:
    """What faults may delay is looked at every few seconds where there are none."""
    found = [run(seed, only=tuple(WORK)) for seed in range(1, 21)]
    assert all(outcome.violation is None for outcome in found)
    assert {name.partition("#")[0] for one in found for name in one.happened} == WORK


def test_a_seed_makes_the_same_world_again() -> None:
    first = run(7)
    assert run(7) == first
    assert run(8).checksum != first.checksum


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(1, SEEDS, EACH))
def test_no_world_breaks_an_invariant(first: int, crew: pool.Pool) -> None:
    """And every kind of fault did happen."""
    kinds, seen = Counter[str](), Counter[str]()
    for outcome in outcomes(crew, [(s, frozenset(), None) for s in range(first, first + EACH)]):
        again = f"python -m tests.simulation {outcome.seed}"
        assert outcome.violation is None, f"{again}\n{outcome.violation}"
        assert outcome.simulated_us >= 600_000_000
        kinds.update({name.partition("#")[0] for name in outcome.happened})
        seen.update(outcome.seen)
    assert FAULTS - kinds.keys() == set()
    assert SEEN - seen.keys() == set()
