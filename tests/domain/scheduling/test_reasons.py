"""Why a job waits, judged by counting anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given

from domain.job.spec import JobSpec
from domain.scheduling.reason import Constraint, WaitCode, WaitReason
from domain.scheduling.telling import Wait
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.ledger import Account, Ledger
from tests.domain.scheduling.strategies import cells

FIXED = frozenset(Constraint) - {Constraint.GPU, Constraint.CPU, Constraint.MEMORY}
"""Constraints that do not depend on what is in use."""


def constraint(spec: JobSpec, now: Account, empty: Account) -> Constraint | None:
    """The first constraint, in the order of their definition, that keeps one seat away."""
    want = spec.resources
    gpus = want.gpu_milli // 1000
    runners = set(now.node.offer.runners)

    def most(account: Account) -> int:
        models = Counter(account.devices.values())
        return max((n for m, n in models.items() if m in (spec.gpu_types or models)), default=0)

    tests = {
        Constraint.LOST: not now.node.alive,
        Constraint.RUNNER: "docker" not in runners if spec.image else runners <= {"docker"},
        Constraint.GPU_TYPE: gpus > 0 and most(empty) == 0,
        Constraint.GPU_SIZE: most(empty) < gpus,
        Constraint.CPU_SIZE: empty.cpu < want.cpu_milli,
        Constraint.MEMORY_SIZE: empty.memory < want.memory_bytes,
        Constraint.CORDONED: now.node.cordoned,
        Constraint.GPU: most(now) < gpus,
        Constraint.CPU: max(now.cpu, 0) < want.cpu_milli,
        Constraint.MEMORY: max(now.memory, 0) < want.memory_bytes,
    }
    return next((c for c in Constraint if tests.get(c)), None)


def counted(cell: Cell, spec: JobSpec) -> tuple[dict[Constraint, int], int]:
    """Nodes out per constraint and nodes that fit, as the cell is now."""
    now = Ledger(cell.snapshot)
    empty = Ledger(cell.snapshot, gone=cell.snapshot.jobs)
    found = Counter(constraint(spec, a, empty.accounts[n]) for n, a in now.accounts.items())
    fitting = found.pop(None, 0)
    return {c: n for c, n in found.items() if c is not None}, fitting


def explained(cell: Cell) -> list[Wait]:
    """The waits for a reason that looks at nodes."""
    beside = (WaitCode.OVER_QUOTA, WaitCode.PREEMPTING)
    return [wait for wait in cell.decide().waits if wait.reason.code not in beside]


@given(cells())
def test_counts_are_true_once_the_plan_is_carried_out(cell: Cell) -> None:
    waits = explained(cell)
    kept = any(job.waiting and job.waiting.code is WaitCode.PREEMPTING
               for job in cell.snapshot.jobs.values())  # fmt: skip
    for wait in waits:
        spec, reason = cell.job(wait.job).spec, wait.reason
        counts, fitting = counted(cell, spec)
        told = {x.constraint: x.nodes for x in reason.excluded}
        assert {c: n for c, n in told.items() if c in FIXED} == {
            c: n for c, n in counts.items() if c in FIXED
        }
        assert sum(told.values()) + reason.nodes_fitting == reason.nodes == len(cell.snapshot.nodes)
        assert reason.seats == spec.replicas
        if not kept:
            assert (told, reason.nodes_fitting) == (counts, fitting)
            assert reason.seats_fitting == Ledger(cell.snapshot).seats(spec)


@given(cells())
def test_the_dominant_reason_is_true(cell: Cell) -> None:
    for wait in explained(cell):
        assert is_true(cell, cell.job(wait.job).spec, wait.reason), wait.reason


def is_true(cell: Cell, spec: JobSpec, reason: WaitReason) -> bool:
    """Whether what the code says holds, by the definition of the code."""
    now, empty = Ledger(cell.snapshot), Ledger(cell.snapshot, gone=cell.snapshot.jobs)
    alive = [a for a in empty.accounts.values() if a.node.alive]
    out = {x.constraint: x.nodes for x in reason.excluded}
    match reason.code:
        case WaitCode.NO_NODES:
            return not alive
        case WaitCode.NO_DOCKER:
            return bool(spec.image) and not any("docker" in a.node.offer.runners for a in alive)
        case WaitCode.NO_SANDBOX:
            return not spec.image and all(set(a.node.offer.runners) == {"docker"} for a in alive)
        case WaitCode.GPU_TYPE_ABSENT:
            return not any(
                model in (spec.gpu_types or (model,))
                for a in alive
                for model in a.devices.values()
                if runs(spec, a)
            )
        case WaitCode.NEVER_FITS:
            return not without_cordons(cell, empty).fits(spec)
        case WaitCode.CAPACITY_RESERVED:
            return now.fits(spec)
        case WaitCode.GANG_TOO_LARGE:
            return spec.replicas > 1 and 0 < reason.seats_fitting < spec.replicas
        case WaitCode.CORDONED:
            return not out.keys() - FIXED and Constraint.CORDONED in out
        case WaitCode.INSUFFICIENT_GPU:
            return out[Constraint.GPU] > 0
        case WaitCode.INSUFFICIENT_CPU:
            return out[Constraint.CPU] > 0
        case WaitCode.INSUFFICIENT_MEMORY:
            return out[Constraint.MEMORY] > 0
    return False


def runs(spec: JobSpec, account: Account) -> bool:
    runners = set(account.node.offer.runners)
    return "docker" in runners if spec.image else bool(runners - {"docker"})


def without_cordons(cell: Cell, ledger: Ledger) -> Ledger:
    """The same nodes as if each took new work."""
    for account in ledger.accounts.values():
        account.node = replace(account.node, cordoned=False)
    return ledger
