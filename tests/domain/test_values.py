"""Values: quantities, resources, money, ids and time, as laws."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.values import quantity
from domain.values.ids import check_name, make_id
from domain.values.money import charge
from domain.values.quantity import GIB, LARGEST, gibibytes, milli, size
from domain.values.resources import NOTHING, Resources
from domain.values.time import HOUR, from_datetime, to_text

FACTORS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{letter: Fraction(1000**n) for n, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**n) for n, letter in enumerate("KMGTPE", start=1)},
}
DIGITS = st.text("0123456789", min_size=1, max_size=18)
NUMBERS = st.one_of(
    DIGITS,
    st.builds("{}.{}".format, DIGITS, DIGITS),
    st.builds("{}.".format, DIGITS),
    st.builds(".{}".format, DIGITS),
)
SUFFIXES = st.one_of(
    st.sampled_from(sorted(FACTORS)),
    st.builds(
        "{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 999)
    ),
)


def stands_for(number: str, suffix: str) -> Fraction:
    """The exact number, by the grammar of k8s.io/apimachinery resource.Quantity."""
    value = Fraction(f"0{number}" if number.startswith(".") else number.removesuffix("."))
    if suffix not in FACTORS:
        return value * Fraction(10) ** int(suffix[1:])
    return value * FACTORS[suffix]


@given(NUMBERS, SUFFIXES, st.sampled_from([(size, 1), (milli, 1000), (gibibytes, GIB)]))
@example("1000000000000000000.0000000000000001", "", (size, 1))
@example("4294967297.00000000000000000000001", "", (gibibytes, GIB))
@example("1", "e-999", (size, 1))
@example("0", "e999", (size, 1))
def test_a_quantity_is_exact_and_rounded_up_once(
    number: str, suffix: str, kind: tuple[object, int]
) -> None:
    convert, scale = kind
    assert callable(convert)
    exact = stands_for(number, suffix) * scale
    if exact > LARGEST or len(number + suffix) > 40:
        with pytest.raises(Invalid):
            convert("memory", number + suffix)
    else:
        assert convert("memory", number + suffix) == ceil(exact)


@pytest.mark.parametrize(
    ("text", "in_bytes"),
    [
        ("32Gi", 32 * GIB),
        ("500m", 1),
        ("1500M", 1_500_000_000),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("1Ei", 2**60),
        (".5Ki", 512),
        ("5.", 5),
        ("0", 0),
        (7, 7),
        (1.5, 2),
        (1e3, 1000),
        (1e-7, 1),
    ],
)
def test_quantities_people_write(text: str | float, in_bytes: int) -> None:
    assert size("memory", text) == in_bytes


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1\n", "-1", "+1", "1e", "1e+", "1ei", "1iE", "1K", "1Gib", "Gi", "."),
        *("1.2.3", "1,5", "٣", "0x10", "1_000", "nan", "inf", "9" * 41, "1e1000"),
        *(True, -1, -0.5, float("nan"), float("inf")),
    ],
)
def test_what_is_no_quantity_is_refused_with_its_field(text: str | float) -> None:
    with pytest.raises(Invalid) as refused:
        quantity.parse("resources.memory", text)
    assert refused.value.facts == {"field": "resources.memory"}
    assert refused.value.detail.startswith("resources.memory: ")


@given(st.text(max_size=50))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        assert 0 <= size("memory", text) <= LARGEST
    except Invalid as error:
        refused = error
    else:
        return
    assert refused.facts == {"field": "memory"}


def test_the_largest_value_is_named_where_it_is_passed() -> None:
    assert size("memory", LARGEST) == LARGEST
    with pytest.raises(Invalid, match=f"memory: the largest value is {LARGEST}"):
        size("memory", LARGEST + 1)
    with pytest.raises(Invalid, match=f"cpu: the largest value is {LARGEST // 1000}"):
        milli("cpu", LARGEST // 1000 + 1)


AMOUNTS = st.integers(0, 2**40)
RESOURCES = st.builds(Resources, AMOUNTS, AMOUNTS, AMOUNTS)


@given(RESOURCES, RESOURCES, RESOURCES, st.integers(0, 100))
def test_resources_add_like_numbers(a: Resources, b: Resources, c: Resources, n: int) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + NOTHING == a
    assert (a + b) - b == a
    assert (a + b) * n == a * n + b * n
    assert a * 0 == NOTHING
    assert a.fits(a + b)
    assert a.fits(b) == all(
        getattr(a, name) <= getattr(b, name) for name in ("cpu_milli", "memory_bytes", "gpu_milli")
    )


@given(RESOURCES, RESOURCES)
def test_less_than_nothing_is_refused(a: Resources, b: Resources) -> None:
    assume(not b.fits(a))
    with pytest.raises(Invalid):
        a - b


@pytest.mark.parametrize("field", ["cpu_milli", "memory_bytes", "gpu_milli"])
@pytest.mark.parametrize("value", [-1, LARGEST + 1])
def test_resources_out_of_range_are_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(Invalid) as refused:
        Resources(**{field: value})
    assert refused.value.facts == {"field": field}


@given(
    st.integers(0, 10**15),
    st.integers(0, 2**50),
    st.sampled_from([1000, GIB]),
    st.integers(0, 2**50),
)
def test_a_charge_is_the_exact_price_rounded_half_up(
    price: int, amount: int, unit: int, duration: int
) -> None:
    exact = Fraction(price * amount * duration, unit * HOUR)
    assert charge(price, amount, unit, duration) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize(
    ("price", "duration", "micro"),
    [
        (1, HOUR, 1),
        (1, HOUR // 2, 1),  # half a millionth counts as one
        (1, HOUR // 2 - 1, 0),
        (4_000_000, 90 * 60 * 1_000_000, 6_000_000),
        (10**15, 0, 0),
    ],
)
def test_charges_of_one_cpu(price: int, duration: int, micro: int) -> None:
    assert charge(price, 1000, 1000, duration) == micro


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_a_negative_charge_is_a_mistake_of_ours(wrong: tuple[int, int, int]) -> None:
    price, amount, duration = wrong
    with pytest.raises(ValueError, match="not be negative"):
        charge(price, amount, 1000, duration)


BITS = st.integers(0, 2**80 - 1)


@given(st.integers(0, 2**57), st.integers(0, 2**57), BITS, BITS)
def test_ids_sort_by_their_millisecond(first: int, second: int, a: int, b: int) -> None:
    one, two = make_id("job", first, a), make_id("job", second, b)
    assert len(one) == len("job-") + 26
    if first // 1000 != second // 1000:
        assert (one < two) == (first < second)
    else:
        assert (one < two) == (a < b)
    assert (one == two) == ((first // 1000, a) == (second // 1000, b))


def test_an_id_is_a_ulid_in_lower_case() -> None:
    # 01ARYZ6S41 is the time part of the example in https://github.com/ulid/spec, 1469918176385 ms
    assert make_id("job", 1_469_918_176_385_000, 0) == "job-01arYZ6S41".lower() + "0" * 16


@pytest.mark.parametrize("name", ["a", "a" * 63, "0", "a.b_c-d", "llama-3.1"])
def test_names_people_may_choose(name: str) -> None:
    assert check_name("name", name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 64, "A", "-a", "a-", ".", "a b", "a/b", "ä", "a\n", "a\0"]
)
def test_names_people_may_not_choose(name: str) -> None:
    with pytest.raises(Invalid, match="name: use 1 to 63"):
        check_name("name", name)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # the strategy adds UTC
def test_time_is_read_back_as_written(at: datetime) -> None:
    text = to_text(from_datetime(at))
    assert datetime.fromisoformat(text) == at
    assert text.endswith("Z")
    assert len(text) == len("2026-11-24T04:05:06.000007Z")
