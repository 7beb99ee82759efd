"""MIG places: the published starts, no overlap, and what is said to fit can be placed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.values import mig
from domain.values.ids import DeviceId
from domain.values.mig import Slot, check_slots, milli_of, slot_of

GPU = DeviceId("GPU-5a")
PROFILES_80 = {
    "1g.10gb": (1, 1),
    "1g.10gb+me": (1, 1),
    "1g.20gb": (1, 2),
    "2g.20gb": (2, 2),
    "3g.40gb": (3, 4),
    "4g.40gb": (4, 4),
    "7g.80gb": (7, 8),
}
"""Of A100-80GB and H100-80GB: compute and memory slices."""
INSTANCES_80 = dict(zip(PROFILES_80, (7, 1, 4, 3, 2, 1, 1), strict=True))
"""How many there can be of each alone, as `nvidia-smi mig -lgip` says."""


def places() -> tuple[Slot, ...]:
    """Every place of a GPU that may be cut at will."""
    return tuple(
        Slot(profile, start, size)
        for profile, (compute, size) in PROFILES_80.items()
        for start in mig.STARTS[compute, size]
    )


PLACES = places()


def test_starts_are_as_published() -> None:
    assert [str(s.start) + ":" + str(s.size) for s in PLACES if s.profile == "1g.20gb"] == [
        "0:2",
        "2:2",
        "4:2",
        "6:2",
    ]
    for profile, most in INSTANCES_80.items():
        assert mig.count(PLACES, profile, 0) == most


@given(st.lists(st.sampled_from(sorted(PROFILES_80)), max_size=12), st.randoms())
def test_instances_never_overlap_lie_at_legal_starts_and_what_fits_is_placed(
    wanted: list[str], random: object
) -> None:
    taken, held = 0, list[Slot]()
    for profile in wanted:
        fits = mig.count(PLACES, profile, taken)
        found = mig.choose(PLACES, profile, taken)
        assert (found is None) == (fits == 0)
        if found is None:
            continue
        slot = found[1]
        assert slot in PLACES
        assert all(not slot.mask & other.mask for other in held)
        assert mig.count(PLACES, profile, taken | slot.mask) <= fits - 1
        taken |= slot.mask
        held.append(slot)
        if len(held) > 3:
            gone = held.pop(random.randrange(len(held)))  # type: ignore[attr-defined]  # a Random
            taken &= ~gone.mask
    compute = sum(PROFILES_80[slot.profile][0] for slot in held)
    assert compute <= mig.COMPUTE, "memory slices bound compute slices"
    assert sum(slot.profile.endswith("+me") for slot in held) <= 1


@given(st.sampled_from(sorted(PROFILES_80)), st.integers(0, 2**9 - 1))
def test_as_many_as_are_counted_can_be_placed_one_after_the_other(profile: str, taken: int) -> None:
    for left in range(mig.count(PLACES, profile, taken), 0, -1):
        assert mig.count(PLACES, profile, taken) == left
        found = mig.choose(PLACES, profile, taken)
        assert found is not None
        taken |= found[1].mask
    assert mig.choose(PLACES, profile, taken) is None


def after(taken: int, place: Slot) -> int:
    """How many places are open beside these."""
    return sum(not slot.mask & (taken | place.mask) for slot in PLACES)


@given(st.sampled_from(sorted(PROFILES_80)), st.integers(0, 2**9 - 1))
def test_the_place_chosen_leaves_most_others(profile: str, taken: int) -> None:
    found = mig.choose(PLACES, profile, taken)
    if found is not None:
        options = mig.free(PLACES, profile, taken)
        assert after(taken, found[1]) == max(after(taken, each) for each in options)


def test_small_ones_go_to_the_end_and_leave_room_for_the_large() -> None:
    taken, starts = 0, []
    for _ in range(3):
        found = mig.choose(PLACES, "1g.10gb", taken)
        assert found is not None
        starts.append(found[1].start)
        taken |= found[1].mask
    assert starts == [6, 5, 4]
    assert mig.count(PLACES, "4g.40gb", taken) == 1


def test_a_place_is_named_and_read_back() -> None:
    slot = Slot("1g.10gb+me", 3, 1)
    assert slot.on(GPU) == "GPU-5a/1g.10gb+me@3:1"
    assert slot_of(slot.on(GPU)) == (GPU, slot)
    assert slot_of(GPU) is None


def test_a_profile_counts_for_its_sevenths() -> None:
    assert [milli_of(p) for p in ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")] == [
        142,
        285,
        428,
        571,
        1000,
    ]


@pytest.mark.parametrize(
    ("model", "slots"),
    [
        ("A100", [Slot("1g.5gb", 7, 1)]),
        ("A100", [Slot("2g.10gb", 1, 2)]),
        ("H100", [Slot("3g.40gb", 2, 4)]),
        ("H100", [Slot("4g.40gb", 4, 4)]),
        ("H100", [Slot("1g.20gb", 1, 2)]),
        ("H100", [Slot("1g.20gb", 0, 3)]),
        ("B999", [Slot("1g.20gb", 6, 3)]),
        ("B999", [Slot("1g.20gb", -1, 2)]),
        ("B999", [Slot("1g.20gb", 0, 2), Slot("1g.20gb", 0, 2)]),
        ("B999", [Slot("1c.3g.20gb", 0, 2)]),
        ("B999", [Slot("8g.20gb", 0, 2)]),
    ],
)
def test_places_that_cannot_be_are_refused(model: str, slots: list[Slot]) -> None:
    with pytest.raises(Invalid) as refused:
        check_slots("devices[0].mig", model, slots)
    assert refused.value.facts["field"] == "devices[0].mig"


def test_of_other_models_what_the_driver_says_holds() -> None:
    check_slots("mig", "A30", [Slot("1g.6gb", 3, 1)])
    check_slots("mig", "B200", [Slot("2g.45gb", 1, 2)])
    check_slots("mig", "A100", PLACES)
