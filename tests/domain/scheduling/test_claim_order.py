"""Orders by hand: keys, ties, aging, and the bound on overtaking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.order import ORDERS, Backlog, Claim, aged_area, f1


def claim(name: str, size: int, estimate: int, submitted: int, due: int | None = None) -> Claim:
    return Claim(name, (size,), estimate, submitted, size, due)


A, B, C = claim("a", 4, 10, 5), claim("b", 1, 30, 2), claim("c", 2, 50, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fcfs", "cba"), ("sjf", "abc"), ("saf", "bac"), ("f1", "cba"), ("default", "bac")],
)
def test_orders_by_hand(name: str, expected: str) -> None:
    found = sorted([A, B, C], key=lambda one: ORDERS[name](one, 5))
    assert "".join(one.job for one in found) == expected


def test_f1_is_the_published_formula() -> None:
    assert f1(A, 0)[1] == math.log10(10) * 4 + 870 * math.log10(5)
    assert f1(C, 0)[1] == math.log10(50) * 2 + 870 * math.log10(0.1)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_ties_fall_to_who_came_first_then_to_the_name(name: str) -> None:
    same = [claim("b", 2, 9, 4), claim("a", 2, 9, 4)]
    assert [c.job for c in sorted(same, key=lambda c: ORDERS[name](c, 9))] == ["a", "b"]


def test_waiting_moves_a_large_job_ahead_of_a_small_new_one() -> None:
    large, small = claim("large", 8, 10, 0), claim("small", 1, 10, 100)
    assert aged_area(large, 100) < aged_area(small, 100)
    assert aged_area(large, 100)[1] == 80 / 11
    assert aged_area(claim("l", 8, 10, 100), 100) > aged_area(small, 100)


def test_who_is_due_goes_first_in_turn() -> None:
    late, later = claim("late", 8, 1000, 0, due=50), claim("later", 8, 1, 1, due=50)
    small = claim("small", 1, 1, 40, due=60)
    found = sorted([small, later, late], key=lambda one: aged_area(one, 50))
    assert [one.job for one in found] == ["late", "later", "small"]
    assert aged_area(small, 49) < aged_area(late, 49)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99)), max_size=20))
def test_due_is_when_a_fluid_fifo_reaches_the_job(jobs: list[tuple[int, int]]) -> None:
    backlog, free_at, now = Backlog(4), 0.0, 0
    for gap, area in jobs:
        now += gap
        begins = max(free_at, now)
        assert begins - 2 * (1 + len(jobs)) / 4 < backlog.due(now, area) <= begins
        free_at = begins + area / 4
