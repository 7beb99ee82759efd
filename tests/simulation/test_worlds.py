"""Simulated worlds: nothing that must hold is ever broken, and a seed makes one world."""

from __future__ import annotations

from tests.simulation.__main__ import outcomes
from tests.simulation.world import run

SEEDS = range(1, 41)


def test_without_faults_every_job_ends_in_time() -> None:
    found = [run(seed, faults=False) for seed in range(1, 6)]
    assert all(outcome.violation is None for outcome in found)
    assert all(outcome.simulated_us == 600_000_000 for outcome in found)


def test_no_world_breaks_an_invariant() -> None:
    violations = [str(o.violation) for o in outcomes(SEEDS) if o.violation is not None]
    assert not violations, violations[0]
