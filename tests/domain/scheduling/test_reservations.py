"""Reservations become spans; the model is a list of times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.scheduling.profile import Profile
from domain.scheduling.reservations import (
    Occupied,
    Reservation,
    Schedule,
    node_spans,
    occupied,
    withhold,
)

NODES = {"n1": (4, 2), "n2": (8, 0)}
ONCE = Schedule(10, 5)
DAILY = Schedule(10, 5, every=24, until=60)


def test_once_and_again_until() -> None:
    assert list(ONCE.spans(0, 100)) == [(10, 15)]
    assert list(ONCE.spans(15, 100)) == []
    assert list(DAILY.spans(0, 100)) == [(10, 15), (34, 39), (58, 63)]
    assert list(DAILY.spans(14, 34)) == [(10, 15)]


@given(
    st.integers(0, 20), st.integers(1, 6), st.integers(0, 9), st.integers(0, 60), st.integers(0, 60)
)
def test_spans_are_those_of_a_count_from_the_start(
    start: int, duration: int, more: int, begin: int, length: int
) -> None:
    every = duration + more
    found = list(Schedule(start, duration, every, until=70).spans(begin, begin + length))
    model = [(s, s + duration) for s in range(start, 70, every)]
    assert found == [(s, e) for s, e in model if s < begin + length and e > begin]


def test_maintenance_takes_whole_nodes_once_and_unknown_ones_nothing() -> None:
    one = Reservation("rack", ONCE, nodes=frozenset({"n1", "n2", "gone"}))
    two = Reservation("again", Schedule(12, 8), nodes=frozenset({"n1"}))
    assert occupied([one, two], NODES, 0, 100) == [
        Occupied(10, 15, (8, 0)),
        Occupied(10, 20, (4, 2)),
    ]
    assert node_spans([one, two], "n1", 11, 100) == [(11, 20)]


def test_who_is_admitted_sees_the_room_and_others_do_not() -> None:
    kept = Reservation("exclusive", ONCE, nodes=frozenset({"n1"}), jobs=frozenset({"mine"}))
    assert occupied([kept], NODES, 0, 100, "mine") == []
    assert node_spans([kept], "n1", 0, 100, "mine") == []
    assert occupied([kept], NODES, 0, 100, "other") == [Occupied(10, 15, (4, 2))]


def test_a_job_starts_after_what_it_would_run_into() -> None:
    profile = Profile((12, 2))
    withhold(profile, occupied([Reservation("half", DAILY, (10, 0))], NODES, 0, 100))
    assert profile.earliest((4, 1), 10, 0) == 0
    assert profile.earliest((4, 1), 11, 0) == 15
    assert profile.earliest((4, 1), 20, 0) == 63


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("start", lambda: Schedule(-1, 5)),
        ("duration", lambda: Schedule(0, 0)),
        ("every", lambda: Schedule(0, 5, every=4)),
        ("until", lambda: Schedule(5, 5, until=5)),
        ("every", lambda: list(Schedule(0, 1, every=1).spans(0, 20_000))),
        ("amount", lambda: Reservation("x", ONCE)),
        ("amount", lambda: Reservation("x", ONCE, (1,), frozenset({"n"}))),
        ("amount", lambda: Reservation("x", ONCE, (0, 0))),
        ("amount", lambda: Reservation("x", ONCE, (2, -1))),
    ],
)
def test_bad_ones_are_refused_by_field(field: str, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Invalid) as refused:
        make()
    assert refused.value.facts["field"] == field
