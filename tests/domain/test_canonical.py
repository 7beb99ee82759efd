"""The canonical form: one byte string for one value, on every Python and with every hash seed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum

import pytest

from domain.values.canonical import canonical, digest


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Thing:
    name: str
    colours: frozenset[str] = frozenset()
    more: tuple[int, ...] = ()
    note: str | None = None


def test_it_is_compact_sorted_ascii_without_defaults() -> None:
    value = {"b": Thing("ä", frozenset({"y", "x"})), "a": (1, True, None, Colour.RED)}
    assert (
        canonical(value) == b'{"a":[1,true,null,"red"],"b":{"colours":["x","y"],"name":"\\u00e4"}}'
    )


def test_the_order_of_a_mapping_does_not_count_that_of_a_list_does() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])


def test_what_has_no_one_form_is_refused() -> None:
    for value in (1.5, object(), {"a": [2.0]}, b"bytes"):
        with pytest.raises(TypeError, match="no canonical form"):
            canonical(value)


def test_the_hash_seed_has_no_say() -> None:
    text = (
        "from domain.values.canonical import digest;"
        "print(digest({'s': {str(n) for n in range(50)}, 'd': {str(n): n for n in {7, 3, 9}}}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
