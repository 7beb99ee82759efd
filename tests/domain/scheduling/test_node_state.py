"""What a node's allocations hold, kept step by step, is what counting them anew gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.allocation.allocation import Allocation
from domain.allocation.seat import Seat
from domain.node.events import Registered
from domain.node.node import Node
from domain.scheduling.node_state import NodeState
from domain.values.ids import AllocationId, DeviceId, JobId, NodeId
from domain.values.mig import Slot
from domain.values.resources import Resources
from domain.values.topology import Device

NODE = NodeId("n")
PLACE = Slot("1g.10gb", 0, 1)
MOST = Resources(64_000, 2**40, 4000)


def offer(gpus: int, mig: bool) -> Registered:
    """So many GPUs, and perhaps one in MIG mode."""
    devices = [Device(DeviceId(f"gpu-{n}"), "A100", 2**30) for n in range(gpus)]
    if mig:
        devices.append(Device(DeviceId("gpu-m"), "A100", 2**30, mig=(PLACE,)))
    return Registered(NODE, "boot", MOST, tuple(devices), ("process",))


DEVICES = st.sampled_from(
    [(), *((DeviceId(f"gpu-{n}"),) for n in range(3)), (PLACE.on(DeviceId("gpu-m")),)]
)
"""Also of GPUs that are not offered, or given away before: offers shrink while jobs run."""


@st.composite
def allocations(draw: st.DrawFn) -> Allocation:
    """Seats here and elsewhere, whole GPUs and shares."""
    nodes = draw(st.lists(st.sampled_from([NODE, NodeId("other")]), min_size=1, max_size=3))
    seats = tuple(Seat(rank, node, draw(DEVICES)) for rank, node in enumerate(nodes))
    each = Resources(draw(st.integers(0, 4000)), 2**20, draw(st.sampled_from([0, 300, 700, 1000])))
    name = AllocationId(f"a-{draw(st.integers(0, 10**6))}")
    boots = ("boot",) * len(seats)
    return Allocation(name, JobId("j"), 1, seats, boots, each, draw(st.booleans()))


STEPS = st.lists(st.tuples(allocations(), st.lists(st.integers(0, 9), max_size=2)), max_size=6)
"""What comes, and after it which of those there are leave, by number."""


@given(gpus=st.integers(0, 3), mig=st.booleans(), steps=STEPS)
def test_what_is_released_leaves_what_a_recount_finds(
    gpus: int, mig: bool, steps: list[tuple[Allocation, list[int]]]
) -> None:
    state = NodeState(Node(NODE, offer(gpus, mig)))
    state.recount(())
    held: list[Allocation] = []
    for allocation, leaving in steps:
        state.hold(allocation)
        held.append(allocation)
        for number in leaving:
            if number < len(held) and not state.release(held.pop(number)):
                state.recount(held)
        anew = NodeState(state.node)
        anew.recount(held)
        assert state == anew


def test_what_was_given_away_twice_is_not_given_back_twice() -> None:
    """A share of a GPU of which nothing was left: counting back would make two of it."""
    state = NodeState(Node(NODE, offer(1, mig=False)))
    state.recount(())
    seat = (Seat(0, NODE, (DeviceId("gpu-0"),)),)
    for name in "ab":
        each = Resources(1000, 2**20, 700)
        state.hold(Allocation(AllocationId(name), JobId(name), 1, seat, ("boot",), each))
    last = Allocation(
        AllocationId("b"), JobId("b"), 1, seat, ("boot",), Resources(1000, 2**20, 700)
    )
    assert state.left == {"gpu-0": 0}
    assert not state.release(last), "only a recount can tell"
