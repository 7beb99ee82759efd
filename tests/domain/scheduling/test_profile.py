"""The profile against a brute-force model: a list with what is free at every time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.profile import Amount, Profile, covers

CAPACITY = (8, 5)
END = 40
amounts = st.tuples(st.integers(0, 6), st.integers(0, 6))
spans = st.tuples(st.integers(0, END - 1), st.integers(1, 12))


def filled(changes: list[tuple[tuple[int, int], Amount]]) -> tuple[Profile, list[list[int]]]:
    """A profile and the model of it after reservations; those that do not fit are refused."""
    profile = Profile(CAPACITY)
    model = [list(CAPACITY) for _ in range(END + 60)]
    for (start, length), amount in changes:
        cells = model[start : start + length]
        if all(covers(tuple(cell), amount) for cell in cells):
            profile.reserve(start, start + length, amount)
            for cell in cells:
                cell[:] = [have - part for have, part in zip(cell, amount, strict=True)]
        else:
            before = list(profile.steps())
            with pytest.raises(ValueError, match="not free"):
                profile.reserve(start, start + length, amount)
            assert list(profile.steps()) == before
    return profile, model


changes = st.lists(st.tuples(spans, amounts), max_size=14)


@given(changes)
def test_it_is_what_the_model_says_at_every_time_and_never_overdrawn(made: list) -> None:  # type: ignore[type-arg]
    profile, model = filled(made)
    assert [profile.at(time) for time in range(len(model))] == [tuple(cell) for cell in model]
    assert all(min(free) >= 0 for _, free in profile.steps())


@given(changes, amounts, st.integers(1, 12), st.integers(0, END))
def test_the_earliest_start_is_the_first_that_fits(
    made: list,  # type: ignore[type-arg]
    amount: Amount,
    duration: int,
    after: int,
) -> None:
    profile, model = filled(made)

    def free(start: int) -> bool:
        return all(covers(tuple(cell), amount) for cell in model[start : start + duration])

    expected = next((t for t in range(after, len(model) - duration) if free(t)), None)
    assert profile.earliest(amount, duration, after) == expected
    assert profile.fits(after, after + duration, amount) == free(after)


@given(changes)
def test_releasing_all_leaves_one_step(made: list) -> None:  # type: ignore[type-arg]
    profile = Profile(CAPACITY)
    for (start, length), amount in made:
        profile.withhold(start, start + length, amount)
    for (start, length), amount in made:
        profile.release(start, start + length, amount)
    assert list(profile.steps()) == [(0, CAPACITY)]


@given(changes, st.integers(0, END))
def test_forgetting_the_past_changes_nothing_after_it(made: list, now: int) -> None:  # type: ignore[type-arg]
    profile, model = filled(made)
    copy = profile.copy()
    profile.forget(now)
    assert [profile.at(t) for t in range(now, END)] == [tuple(c) for c in model[now:END]]
    assert [copy.at(t) for t in range(END)] == [tuple(c) for c in model[:END]]
    if now:
        with pytest.raises(ValueError, match="before the profile"):
            profile.at(now - 1)


def test_what_is_overdrawn_blocks_only_who_asks_for_it() -> None:
    profile = Profile((4, 1))
    profile.withhold(0, 10, (0, 2))
    assert profile.earliest((1, 0), 5, 0) == 0
    assert profile.earliest((1, 1), 5, 0) == 10
    assert profile.earliest((5, 0), 5, 0) is None


def test_capacity_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        Profile((1, -1))
