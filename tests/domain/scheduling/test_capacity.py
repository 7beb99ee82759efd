"""What a plan gives away was free: nodes, devices, gangs, quotas."""

from __future__ import annotations

from hypothesis import given

from domain.job.transitions import Phase
from domain.scheduling.plan import plan
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.ledger import Ledger
from tests.domain.scheduling.strategies import cells


@given(cells())
def test_only_what_is_free_is_given_and_each_device_once(cell: Cell) -> None:
    ledger = Ledger(cell.snapshot)
    for placement in plan(cell.snapshot, cell.now).placements:
        want = cell.job(placement.job).spec.resources
        for seat in placement.seats:
            account = ledger.accounts[seat.node]
            # what is not asked for may be overdrawn: a node came back smaller
            assert not want.cpu_milli or account.cpu >= want.cpu_milli
            assert not want.memory_bytes or account.memory >= want.memory_bytes
            assert set(seat.devices) <= account.devices.keys()
            assert len(set(seat.devices)) == len(seat.devices) == want.gpus
            account.take(seat, want)


@given(cells())
def test_gangs_are_whole_and_of_one_acceptable_model(cell: Cell) -> None:
    models = Ledger(cell.snapshot, gone=cell.snapshot.jobs).accounts
    for placement in plan(cell.snapshot, cell.now).placements:
        spec = cell.job(placement.job).spec
        assert [seat.rank for seat in placement.seats] == list(range(spec.replicas))
        given_models = {
            models[seat.node].devices[device] for seat in placement.seats for device in seat.devices
        }
        assert given_models == ({placement.gpu_model} - {""})
        assert not spec.gpu_types or placement.gpu_model in spec.gpu_types


@given(cells())
def test_seats_are_on_nodes_that_take_work_and_can_run_them(cell: Cell) -> None:
    for placement in plan(cell.snapshot, cell.now).placements:
        spec = cell.job(placement.job).spec
        for seat in placement.seats:
            node = cell.snapshot.nodes[seat.node].node
            assert (node.alive, node.cordoned, node.draining) == (True, False, False)
            others = set(node.offer.runners) - {"docker"}
            assert "docker" in node.offer.runners if spec.image else others


@given(cells())
def test_each_job_is_decided_once(cell: Cell) -> None:
    queued = cell.in_phase(Phase.QUEUED)
    made = plan(cell.snapshot, cell.now)
    assert sorted([p.job for p in made.placements] + [w.job for w in made.waits]) == queued


@given(cells())
def test_no_quota_is_passed(cell: Cell) -> None:
    held: dict[str, dict[str, int]] = {}
    for allocation in cell.snapshot.allocations.values():
        charge(held, cell, allocation.job)
    for placement in plan(cell.snapshot, cell.now).placements:
        project = charge(held, cell, placement.job)
        quota = cell.snapshot.quotas[cell.job(placement.job).spec.project]
        for name, amount in held[project].items():
            limit = getattr(quota, name)
            assert limit is None or amount <= limit, name


def charge(held: dict[str, dict[str, int]], cell: Cell, job: object) -> str:
    """Add what the job holds to its project's account; returns the project."""
    spec = next(known.spec for known in cell.snapshot.jobs.values() if known.id == job)
    account = held.setdefault(spec.project, {})
    for name in ("cpu_milli", "memory_bytes", "gpu_milli"):
        amount = getattr(spec.resources, name) * spec.replicas
        account[name] = account.get(name, 0) + amount
    return spec.project
