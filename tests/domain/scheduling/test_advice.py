"""Advice: each change that is told starts the job when planned with, and is the smallest found."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.job.transitions import Phase
from domain.job.where import Where
from domain.policy.events import Cohort, Limits
from domain.project.events import Quota
from domain.scheduling import change as c
from domain.scheduling.advice import applied, changes
from domain.scheduling.change import text_of
from domain.scheduling.plan import plan
from domain.scheduling.saved import pack
from domain.values.ids import JobId, NodeId, ProjectId
from domain.values.resources import Resources
from tests.domain.examples import GIB
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.strategies import cells


def started(cell: Cell, job: JobId, change: c.Change) -> bool:
    """Whether a plan of the cell with the change places the job."""
    changed = applied(cell.snapshot, job, change, cell.now)
    return any(each.job == job for each in plan(changed, cell.now).placements)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(cell=cells(), board_from=st.sampled_from([1, 64]))
def test_every_change_told_starts_the_job(cell: Cell, board_from: int) -> None:
    """Law: planned with, each change places the job; and the cell asked about stays as it was."""
    cell.snapshot.board_from = board_from
    before = repr(pack(cell.snapshot))
    placed = {each.job for each in plan(cell.snapshot, cell.now).placements}
    for job in cell.in_phase(Phase.QUEUED):
        found = changes(cell.snapshot, job, cell.now)
        assert not (found and job in placed), "it starts as it is"
        for change in found:
            assert started(cell, job, change), change
            assert text_of(change)
    assert repr(pack(cell.snapshot)) == before


def told(stage: Stage, job: str) -> list[c.Change]:
    stage.run()
    return changes(stage.snapshot, JobId(job), stage.now)


def test_less_of_everything() -> None:
    stage = Stage()
    stage.node("n0", gpus=4)  # 8 CPUs, 32 GiB
    stage.ask("runs", gpus=1, resources=Resources(2000, 8 * GIB, 1000))
    stage.run()
    stage.ask("more", gpus=4)
    assert told(stage, "more") == [c.FewerGpus(3000)]
    stage.ask("cpu", resources=Resources(8000))
    assert told(stage, "cpu") == [c.LessCpu(6000)]
    stage.ask("memory", resources=Resources(0, 30 * GIB))
    assert told(stage, "memory") == [c.LessMemory(24 * GIB)]
    stage.ask("gang", gpus=1, replicas=5)
    assert told(stage, "gang") == [c.FewerGpus(500), c.FewerReplicas(3)]


def test_a_part_of_a_gpu() -> None:
    stage = Stage()
    stage.node("n0", gpus=1)
    stage.ask("runs", gpus=0.5)
    stage.run()
    stage.ask("more", gpus=0.75)
    assert told(stage, "more") == [c.FewerGpus(500)]


def test_other_types_and_pools() -> None:
    stage = Stage()
    stage.node("n0", gpus=1, pool="a")
    stage.node("n1", gpus=1, pool="b", model="H100")
    stage.ask("runs", gpu_types=("A100",))
    stage.run()
    stage.ask("type", gpu_types=("A100",))
    assert told(stage, "type") == [c.OtherGpuType("H100")]
    stage.ask("pool", where=Where(pools=("a",)))
    assert told(stage, "pool") == [c.OtherPool("b")]


def test_a_shorter_limit_backfills_and_a_higher_priority_goes_first() -> None:
    stage = Stage()
    stage.policy(enable_preemption=False)
    stage.node("n0", gpus=2)
    stage.ask("runs", gpus=1, estimate_seconds=3600)
    stage.run()
    stage.ask("head", gpus=2, priority=5, estimate_seconds=60)
    stage.ask("filler", gpus=1, estimate_seconds=7200)
    found = told(stage, "filler")
    [shorter] = [each for each in found if isinstance(each, c.ShorterLimit)]
    assert 3500 < shorter.seconds <= 3600
    assert not started(stage, JobId("filler"), c.ShorterLimit(shorter.seconds + 60))
    assert c.HigherPriority(6) in found or c.HigherPriority(5) in found


def test_a_raised_quota_is_the_least() -> None:
    stage = Stage()
    stage.node("n0", gpus=8)
    stage.set_quota("ml", Quota(3000, 16_000))
    stage.ask("runs", gpus=2)
    stage.run()
    stage.ask("over", gpus=3)
    found = told(stage, "over")
    assert found == [c.FewerGpus(1000), c.MoreQuota(ProjectId("ml"), Quota(5000, 16_000))]


def test_a_larger_cohort() -> None:
    stage = Stage()
    stage.node("n0", gpus=8)
    nominal = Limits(gpu_milli=2000)
    stage.cohorts(
        Cohort("all", nominal=Limits(gpu_milli=0)),
        Cohort("leaf", "all", project=ProjectId("ml"), nominal=nominal),
    )
    stage.ask("runs", gpus=2)
    stage.run()
    stage.ask("over", gpus=1)
    assert told(stage, "over") == [c.LargerCohort("leaf", Limits(gpu_milli=3000))]


def test_a_node_to_uncordon() -> None:
    stage = Stage()
    stage.node("n0", gpus=1)
    stage.node("n1", gpus=1)
    stage.cordon("n0")
    stage.cordon("n1", drain=True)
    stage.ask("waits", gpus=1)
    assert told(stage, "waits") == [c.UncordonedNode(NodeId("n0"))]


def test_nothing_is_told_where_nothing_helps_or_no_time_is_left() -> None:
    stage = Stage()
    stage.node("n0", gpus=2)
    stage.ask("runs", gpus=2)
    stage.run()
    stage.ask("waits", gpus=2)
    assert told(stage, "waits") == []
    assert changes(stage.snapshot, JobId("runs"), stage.now) == []
    stage.cancel(JobId("waits"))
    stage.end_all("runs")
    stage.ask("big", gpus=3)
    assert changes(stage.snapshot, JobId("big"), stage.now) == [c.FewerGpus(2000)]
    assert changes(stage.snapshot, JobId("big"), stage.now, lambda: False) == []
