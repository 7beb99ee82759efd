"""Every engine answers as the reference, whatever happened before."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Conflict, Invalid
from domain.scheduling.fleet.demand import Demand, FleetNode, Score
from domain.scheduling.fleet.fleet import SMALL, Fleet
from domain.values.ids import NodeId
from tests.domain.scheduling.fleet.walk import Walk

ONE = Demand(1000, 2**20, 1)
SHARE = Demand(1000, 2**20, 1, 400)


def fleet(*gpus: tuple[int, ...], **more: int) -> Fleet:
    nodes = [FleetNode(NodeId(f"n{i}"), 8000, 2**30, each) for i, each in enumerate(gpus)]
    return Fleet(nodes, **more)  # type: ignore[arg-type]  # options of the tests below


@pytest.mark.parametrize("score", Score)
def test_plain_and_compiled_answer_as_the_reference_for_thousands_of_steps(score: Score) -> None:
    walk = Walk(7, 14, score, (False, True))
    for _ in range(2000):
        walk.step()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.sampled_from(Score))
def test_plain_answers_as_the_reference_from_any_start(seed: int, size: int, score: Score) -> None:
    walk = Walk(seed, size, score, (False,))
    for _ in range(60):
        walk.step()


def test_a_small_fleet_never_imports_numba_and_a_large_one_does() -> None:
    code = (
        "import sys\n"
        "from domain.scheduling.fleet.fleet import Fleet\n"
        "from domain.scheduling.fleet.demand import Demand, FleetNode\n"
        "def ask(n):\n"
        "    fleet = Fleet([FleetNode(f'n{i}', 9, 9, (1000,)) for i in range(n)])\n"
        "    assert fleet.choose(fleet.intern(Demand(1, 1, 1)))\n"
        "    print('numba' in sys.modules, 'numpy' in sys.modules)\n"
        f"ask({SMALL - 1}); ask({SMALL})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "True"]


def test_an_empty_fleet_takes_nothing() -> None:
    none = Fleet([])
    assert none.choose(none.intern(ONE)) is None
    assert none.seat(none.intern(ONE), [], 3) == []
    assert none.counts(none.intern(ONE), 9)[1] == 0


def test_a_seat_is_taken_once() -> None:
    one = fleet((1000,))
    number = one.intern(ONE)
    one.take(0, (0,), number)
    with pytest.raises(Conflict, match="has not what the seat needs"):
        one.take(0, (0,), number)
    one.give_back(0, (0,), number)
    with pytest.raises(Conflict, match="does not hold the seat"):
        one.give_back(0, (0,), number)
    assert one.choose(number) is not None


@pytest.mark.parametrize("devices", [(), (1,), (0, 1), (40,)])
def test_devices_that_are_no_seat_are_refused(devices: tuple[int, ...]) -> None:
    one = fleet((1000,))
    with pytest.raises(Conflict):
        one.take(0, devices, one.intern(ONE))
    whole = one.intern(Demand(8000, 2**20, 1))
    assert one.choose(whole) is not None, "nothing was taken"


def test_a_share_goes_where_it_breaks_no_whole_gpu() -> None:
    one = fleet((1000, 400), (1000, 1000))
    one.set_typical([(ONE, 9), (SHARE, 1)])
    chosen = one.choose(one.intern(SHARE))
    assert chosen is not None
    assert (one.ids[chosen.node], chosen.devices) == ("n0", (1,))


@pytest.mark.parametrize("larger", range(4))
def test_nodes_that_differ_by_a_byte_are_not_taken_for_alike(larger: int) -> None:
    nodes = [FleetNode(NodeId(f"n{i}"), 1000, 2**20 + (i == larger)) for i in range(4)]
    one = Fleet(nodes)
    chosen = one.choose(one.intern(Demand(1000, 2**20 + 1)))
    assert chosen is not None
    assert one.ids[chosen.node] == f"n{larger}"


@pytest.mark.parametrize("count", [0, -1, 2**33])
def test_counts_of_typical_demands_are_checked(count: int) -> None:
    with pytest.raises(Invalid, match="typical"):
        fleet((1000,)).set_typical([(ONE, count)])


def test_a_key_without_a_table_is_an_error() -> None:
    one = fleet((1000,))
    with pytest.raises(Invalid, match="'zone'"):
        one.choose(one.intern(Demand(key="zone")))
    with pytest.raises(Invalid, match="one value a node"):
        one.allow("zone", [True, True])


@pytest.mark.parametrize(
    ("field", "value"), [("gpus", 17), ("gpu_milli", 1001), ("cpu_milli", -1), ("models", 2**62)]
)
def test_a_demand_names_the_field_that_is_out_of_range(field: str, value: int) -> None:
    with pytest.raises(Invalid, match=field):
        Demand(**{field: value})  # type: ignore[arg-type]  # the key is no number
