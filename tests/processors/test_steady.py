"""F14: leases run out by the database's clock, but not because somebody set it."""

from __future__ import annotations

from processors.steady import STEP_US, Steady

LEASE = 21_000_000


def test_at_first_nothing_is_known_until_every_lease_of_before_is_over() -> None:
    steady = Steady(LEASE)
    assert not steady.look(0, 1_000_000_000, 0)
    assert not steady.look(LEASE - 1, 1_000_000_000 + LEASE, LEASE - 1)
    assert steady.look(LEASE, 1_000_000_000 + LEASE, LEASE)


def test_a_step_ahead_is_waited_for_and_no_other_change_is() -> None:
    steady, now = Steady(LEASE), 2 * LEASE
    steady.look(0, 0, 0)
    assert steady.look(now, now, now)
    for step in (STEP_US // 2, -1, -60_000_000):  # within the margin, back
        now += 250_000
        assert steady.look(now, now + step, now), step
    now += 250_000
    assert not steady.look(now, now + 10_000_000, now)
    assert not steady.look(now + LEASE - 1, now + 10_000_000 + LEASE, now + LEASE - 1)
    assert steady.look(now + LEASE, now + 10_000_000 + LEASE, now + LEASE)


def test_a_process_that_stands_still_sees_no_step() -> None:
    steady = Steady(LEASE)
    steady.look(0, 0, 0)
    now = 2 * LEASE
    assert steady.look(now, now, now + 30_000_000)  # paused after it asked
    assert steady.look(now + 30_000_001, now + 60_000_000, now + 60_000_000)  # or before
