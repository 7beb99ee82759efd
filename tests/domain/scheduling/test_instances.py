"""MIG instances in the plan: beside whole GPUs, within their places, given once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.job.spec import JobSpec
from domain.project.events import Quota
from domain.scheduling.reason import Constraint, WaitCode
from domain.scheduling.saved import pack, unpack
from domain.values.ids import DeviceId, JobId, ProjectId
from domain.values.mig import Slot, milli_of, slot_of
from domain.values.resources import Resources
from domain.values.topology import Device
from tests.domain.examples import GIB, offer
from tests.domain.scheduling.stage import Stage
from tests.domain.test_mig import PLACES, PROFILES_80

CUT = (Slot("3g.40gb", 4, 4), Slot("1g.10gb", 0, 1), Slot("1g.10gb", 1, 1))
"""What an operator made of a GPU."""


class Cut(Stage):
    """A stage whose node has a whole GPU and one in MIG mode."""

    def cut(self, name: str, *layouts: tuple[Slot, ...], model: str = "A100") -> None:
        devices = tuple(
            Device(DeviceId(f"{name}-gpu{n}"), model, 80 * GIB, mig=slots)
            for n, slots in enumerate(layouts)
        )
        capacity = Resources(64_000, 64 * GIB, 1000 * len(devices))
        self.offer(replace(offer(name, model=model), capacity=capacity, devices=devices))

    def want(self, name: str, profile: str, **changes: Any) -> None:
        share = Resources(0, 0, milli_of(profile))
        spec = JobSpec(name, ProjectId("ml"), ("true",), resources=share, mig=profile)
        self.now += 1
        self.submit(name, replace(spec, **changes))

    def devices_of(self, job: str) -> list[str]:
        return [str(device) for seat in self.job(job).seats for device in seat.devices]


def test_instances_are_given_once_and_whole_gpus_beside_them() -> None:
    cell = Cut()
    cell.cut("n", CUT, ())
    for name, profile in {"a": "1g.10gb", "b": "3g.40gb", "c": "1g.10gb", "d": "1g.10gb"}.items():
        cell.want(name, profile)
    cell.ask("whole", 1)
    cell.ask("share", 0.5)
    assert cell.run() == ["a", "b", "c", "whole"]
    held = [device for job in ("a", "b", "c") for device in cell.devices_of(job)]
    assert held == ["n-gpu0/1g.10gb@1:1", "n-gpu0/3g.40gb@4:4", "n-gpu0/1g.10gb@0:1"]
    assert cell.devices_of("whole") == ["n-gpu1"]
    for name in ("d", "share"):
        reason = cell.why(name)
        assert reason.code is WaitCode.INSUFFICIENT_GPU
        assert [(x.constraint, x.nodes) for x in reason.excluded] == [(Constraint.GPU, 1)]
    cell.end(JobId("a"))
    assert cell.run() == ["d"]
    assert cell.devices_of("d") == ["n-gpu0/1g.10gb@1:1"]


def test_a_profile_nobody_offers_is_told_as_an_absent_type() -> None:
    cell = Cut()
    cell.cut("n", CUT)
    cell.want("odd", "2g.20gb")
    cell.want("elsewhere", "1g.10gb", gpu_types=("H100",))
    cell.ask("whole", 1)
    assert cell.run() == []
    for name in ("odd", "elsewhere", "whole"):
        assert cell.why(name).code is WaitCode.GPU_TYPE_ABSENT


def test_a_gang_gets_an_instance_a_seat_and_a_quota_counts_their_share() -> None:
    cell = Cut()
    cell.cut("n", CUT, CUT)
    cell.set_quota("ml", Quota(gpu_milli=600))
    cell.want("gang", "1g.10gb", replicas=4)
    assert cell.run() == ["gang"]
    assert len(set(cell.devices_of("gang"))) == 4
    cell.want("more", "1g.10gb")
    cell.run()
    assert cell.why("more").code is WaitCode.OVER_QUOTA


def test_room_is_made_for_an_instance_by_preemption() -> None:
    cell = Cut()
    cell.cut("n", PLACES)
    cell.want("small", "1g.10gb")
    cell.want("other", "4g.40gb")
    assert cell.run() == ["small", "other"]
    cell.want("large", "7g.80gb", priority=9)
    assert {p.victim for p in cell.decide().preemptions} == {"small", "other"}
    cell.leave()
    assert cell.run() == ["large"]


def test_small_ones_leave_the_large_places_open() -> None:
    cell = Cut()
    cell.cut("n", PLACES, PLACES)
    for number in range(6):
        cell.want(f"small{number}", "1g.10gb")
    cell.want("four", "4g.40gb")
    cell.want("seven", "7g.80gb")
    assert "four" in cell.run()
    kept = unpack(pack(cell.snapshot))
    assert kept == cell.snapshot


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*sorted(PROFILES_80), "whole", "share"]),
            st.integers(1, 3),
            st.booleans(),
        ),
        max_size=14,
    )
)
def test_no_slice_is_ever_held_twice(jobs: list[tuple[str, int, bool]]) -> None:
    cell = Cut()
    cell.cut("n1", PLACES, (), PLACES)
    cell.cut("n2", CUT)
    for number, (what, replicas, ends) in enumerate(jobs):
        name = f"job{number}"
        if what in PROFILES_80:
            cell.want(name, what, replicas=replicas, priority=number % 3)
        else:
            cell.ask(name, 1 if what == "whole" else 0.5, replicas=replicas, priority=number % 3)
        ran = cell.run()
        if ends and ran:
            cell.end(JobId(ran[0]))
        cell.leave()
        check(cell)


def check(cell: Cut) -> None:
    taken: dict[str, int] = {}
    for name in cell.placed():
        for device in cell.devices_of(name):
            found = slot_of(DeviceId(device))
            if found is None:
                assert device == "n1-gpu1"
                continue
            gpu, slot = found
            offered = next(
                d
                for state in cell.snapshot.nodes.values()
                for d in state.node.offer.devices
                if d.id == gpu
            )
            assert slot in offered.mig
            assert not taken.get(gpu, 0) & slot.mask
            taken[gpu] = taken.get(gpu, 0) | slot.mask
