"""Every guard earns its place: without it, some world breaks an invariant."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import pool

import pytest

from tests.simulation.guards import Guard
from tests.simulation.runs import first_failure, workers

SHOWS = {
    Guard.EPOCH: 1,
    Guard.VERSIONS: 4,
    Guard.KEYS: 2,
    Guard.FACTS: 1,
    Guard.LEASE_WAIT: 3,
    Guard.OWN_CLOCK: 4,
    Guard.SURVIVORS: 1,
    Guard.SESSION: 185,
    Guard.REGISTRATION: 6,
    Guard.ORDER_SESSION: 6,
    Guard.LATE_START: 32,
    Guard.RECORD_FIRST: 4,
    Guard.QUOTA: 2,
    Guard.GRACE: 2,
    Guard.STEADY: 264,
    Guard.RETELL: 444,
    Guard.RAISE: 5,
    Guard.HOLD: 453,
    Guard.WINDOW: 2,
    Guard.NOTICE: 13,
    Guard.WINDOW_END: 24,
    Guard.LEAVE: 2,
    Guard.BUDGET: 2,
    Guard.RESERVE: 25,
    Guard.EACH_WINDOW: 75,
    Guard.FIXED_PRICE: 444,
    Guard.BUDGET_STOP: 444,
    Guard.SLICES: 5,
    Guard.AFTER: 1,
    Guard.OUTCOME: 13,
    Guard.WAITER: 1,
    Guard.CAP: 1,
    Guard.NOTED: 12,
    Guard.HEARD: 19,
    Guard.HELD: 12,
    Guard.CHAIN: 367,
    Guard.FOREIGN: 19,
    Guard.LAST: 15,
    Guard.GAP: 12,
}
"""A seed that breaks without the guard, to begin with: any change may move it to another."""

SEARCHED = range(1, 501)


@pytest.fixture(scope="module")
def crew() -> Iterator[pool.Pool]:
    with workers() as found:
        yield found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("guard", Guard)
def test_a_missing_guard_is_noticed(guard: Guard, crew: pool.Pool) -> None:
    seeds = (SHOWS[guard], *SEARCHED)
    found = first_failure(crew, ((seed, frozenset({guard}), None) for seed in seeds))
    assert found is not None, f"no seed of {SEARCHED} needs: {guard}"
