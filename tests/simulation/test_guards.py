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
    Guard.KEYS: 1,
    Guard.FACTS: 1,
    Guard.LEASE_WAIT: 3,
    Guard.OWN_CLOCK: 4,
    Guard.SURVIVORS: 1,
    Guard.SESSION: 7,
    Guard.REGISTRATION: 10,
    Guard.ORDER_SESSION: 4,
    Guard.LATE_START: 21,
    Guard.RECORD_FIRST: 3,
    Guard.QUOTA: 2,
    Guard.GRACE: 3,
    Guard.STEADY: 1,
    Guard.RETELL: 2,
    Guard.RAISE: 2,
    Guard.HOLD: 25,
    Guard.START_HELD: 24,
    Guard.WINDOW: 1,
    Guard.NOTICE: 13,
    Guard.WINDOW_END: 24,
    Guard.LEAVE: 2,
    Guard.BUDGET: 1,
    Guard.RESERVE: 1,
    Guard.EACH_WINDOW: 75,
    Guard.FIXED_PRICE: 1,
    Guard.BUDGET_STOP: 35,
    Guard.SLICES: 5,
    Guard.AFTER: 1,
    Guard.OUTCOME: 13,
    Guard.WAITER: 1,
    Guard.CAP: 1,
    Guard.NOTED: 12,
    Guard.HEARD: 15,
    Guard.HELD: 12,
    Guard.CHAIN: 54,
    Guard.FOREIGN: 19,
    Guard.LAST: 12,
    Guard.GAP: 12,
}
"""A seed that breaks without the guard, to begin with: any change may move it to another."""

SEARCHED = range(1, 201)


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
