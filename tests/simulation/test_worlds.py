"""Simulated worlds: nothing that must hold is ever broken, and a seed makes one world."""

from __future__ import annotations

from tests.simulation.runs import outcomes, workers
from tests.simulation.world import run

SEEDS = range(1, 41)


def test_without_faults_every_job_ends_in_time() -> None:
    found = [run(seed, only=("job", "control")) for seed in range(1, 6)]
    assert all(outcome.violation is None for outcome in found)
    assert all(outcome.simulated_us == 600_000_000 for outcome in found)


def test_a_seed_makes_the_same_world_again() -> None:
    first = run(7)
    assert run(7) == first
    assert run(8).checksum != first.checksum


def test_no_world_breaks_an_invariant() -> None:
    with workers() as crew:
        failed = [o for o in outcomes(crew, [(s, frozenset(), None) for s in SEEDS]) if o.violation]
    assert not failed, f"python -m tests.simulation {failed[0].seed}\n{failed[0].violation}"
