"""Outlook and dry run: the real plan on a copy, who is ahead, and when a start may come."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.job.spec import JobSpec
from domain.job.transitions import Phase
from domain.scheduling.outlook import Deadline, DryRun, Forecast, dry_run, outlook, with_new
from domain.scheduling.plan import plan
from domain.scheduling.reason import WaitCode
from domain.scheduling.saved import pack
from domain.values.ids import JobId, ProjectId
from domain.values.resources import Resources
from domain.values.time import SECOND
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.strategies import SPECS, cells

NEW = JobId("job-new")


def asked(gpus: int = 1, **more: Any) -> JobSpec:
    return JobSpec(
        "new", ProjectId("ml"), ("true",), resources=Resources(0, 0, gpus * 1000), **more
    )


def dry(cell: Cell, spec: JobSpec) -> DryRun:
    return dry_run(with_new(cell.snapshot, NEW, spec, "ada", cell.now), NEW, spec, cell.now)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cell=cells(), spec=SPECS, board_from=st.sampled_from([1, 64]))
def test_a_submission_at_once_does_what_the_dry_run_said(
    cell: Cell, spec: JobSpec, board_from: int
) -> None:
    """Law: said to start on some nodes, it starts there; said to wait, it waits for that reason."""
    cell.snapshot.board_from = board_from
    before = repr(pack(cell.snapshot))
    found = dry(cell, spec)
    assert repr(pack(cell.snapshot)) == before, "nothing was recorded"
    now = cell.now
    cell.submit(NEW, spec)
    made = plan(cell.snapshot, now)
    nodes = {str(seat.node) for p in made.placements if p.job == NEW for seat in p.seats}
    if found.forecast is Forecast.CAN_NEVER_RUN:
        assert not nodes
        return
    assert found.outlook is not None
    assert {str(node) for node in found.outlook.outcome.nodes} == nodes
    assert (found.forecast is Forecast.STARTS_NOW) == bool(nodes)
    if not nodes:
        [told] = [wait.reason for wait in made.waits if wait.job == NEW]
        assert found.outlook.outcome.waits == told


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cell=cells())
def test_an_outlook_says_what_the_cycle_says(cell: Cell) -> None:
    waiting = cell.in_phase(Phase.QUEUED)
    placed = {p.job for p in plan(cell.snapshot, cell.now).placements}
    places = []
    for job in waiting:
        found = outlook(cell.snapshot, job, cell.now)
        assert found is not None
        assert bool(found.outcome.nodes) == (job in placed)
        assert found.queued == len(waiting)
        places.append(found.outcome.place)
        starts = found.starts
        if starts.earliest is not None and starts.latest is not None:
            assert cell.now <= starts.earliest <= starts.latest
    assert sorted(places) == list(range(1, len(waiting) + 1))
    assert outlook(cell.snapshot, JobId("job-of-nobody"), cell.now) is None


def test_a_job_that_can_never_run_and_one_accepted_all_the_same() -> None:
    stage = Stage()
    stage.node("n0", gpus=2)
    found = dry(stage, asked(3))
    assert (found.forecast, found.outlook) == (Forecast.CAN_NEVER_RUN, None)
    assert found.verdict is not None
    assert found.verdict.field == "resources.gpu"
    found = dry(stage, asked(3, accept_when_absent=True))
    assert found.forecast is Forecast.WOULD_WAIT
    assert found.outlook is not None
    assert found.outlook.starts.earliest is None
    assert dry(Stage(), asked(3)).forecast is Forecast.WOULD_WAIT


def test_a_held_job_does_not_start() -> None:
    stage = Stage()
    stage.node("n0", gpus=2)
    assert dry(stage, asked()).forecast is Forecast.STARTS_NOW
    assert dry(stage, asked(hold=True)).forecast is Forecast.WOULD_WAIT


def test_a_start_lies_between_estimates_and_time_limits() -> None:
    stage = Stage()
    stage.node("n0", gpus=1)
    stage.ask("runs", estimate_seconds=600, time_limit_seconds=3600)
    stage.run()
    begun = stage.job("runs").started_at
    stage.ask("ahead", estimate_seconds=100, time_limit_seconds=200)
    found = dry(stage, asked(deadline=stage.now + 1000 * SECOND, estimate_seconds=100))
    assert found.outlook is not None
    assert found.outlook.starts.earliest == begun + 700 * SECOND
    assert found.outlook.starts.latest == begun + 3800 * SECOND
    assert [each.name for each in found.outlook.ahead] == ["ahead"]
    assert found.outlook.deadline is Deadline.AT_RISK
    found = dry(stage, asked(deadline=stage.now + 300 * SECOND, estimate_seconds=100))
    assert found.outlook is not None
    assert found.outlook.deadline is Deadline.MISSED


def test_without_limits_nobody_knows_the_latest() -> None:
    stage = Stage()
    stage.node("n0", gpus=1)
    stage.ask("runs", estimate_seconds=600)
    stage.run()
    found = dry(stage, asked())
    assert found.outlook is not None
    assert found.outlook.starts.earliest is not None
    assert found.outlook.starts.latest is None


def test_room_is_made_by_the_end_of_the_grace() -> None:
    stage = Stage()
    stage.node("n0", gpus=1)
    stage.ask("runs", grace_seconds=45)
    stage.run()
    found = dry(stage, asked(priority=9))
    assert found.outlook is not None
    outcome = found.outlook.outcome
    assert outcome.waits is not None
    assert outcome.waits.code is WaitCode.PREEMPTING
    assert outcome.asks == ("runs",)
    assert found.outlook.starts.latest == stage.now + 45 * SECOND
