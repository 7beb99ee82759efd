"""Quotas, cohorts and budgets of jobs that move: what they hold is not counted twice."""

from __future__ import annotations

from domain.policy.events import (
    Cohort,
    Limits,
)
from domain.project.events import Quota
from domain.scheduling.reason import WaitCode
from domain.values.ids import ProjectId
from tests.domain.scheduling import paying
from tests.domain.scheduling.stage import Stage
from tests.domain.scheduling.test_migrate import stays, two_nodes


def test_a_full_quota_is_no_hindrance_and_a_lower_one_is() -> None:
    stage = two_nodes()
    stage.set_quota("ml", Quota(gpu_milli=2000))
    stage.migrate("mover")
    assert len(stage.decide().moves) == 1
    stage.leave()
    assert stage.run() == ["mover"]

    stage = two_nodes()
    stage.set_quota("ml", Quota(gpu_milli=1000))
    stage.migrate("mover")
    assert stage.decide().moves == []
    assert stays(stage).code is WaitCode.OVER_QUOTA
    assert stays(stage).blocker == "gpu"


def test_a_cohort_that_is_used_up_is_no_hindrance() -> None:
    stage = Stage()
    stage.cohorts(
        Cohort("all", nominal=Limits(gpu_milli=2000)),
        Cohort("team", parent="all"),
        Cohort("leaf", parent="team", project=ProjectId("ml")),
    )
    stage.node("n1", gpus=2)
    stage.ask("mover", 2)
    stage.run()
    stage.node("n2", gpus=2)
    stage.migrate("mover")
    assert len(stage.decide().moves) == 1


def test_its_budget_pays_for_the_rest_of_the_move_and_not_for_what_it_had_reserved() -> None:
    for more, moves in ((100, 0), (200, 1)):  # a minute was used, and its leaving may take 90 s
        cell = paying.stage()
        cell.limit(paying.month(gpu_seconds=3600 + paying.SPARE + more))
        cell.ask("mover", 1, time_limit_seconds=3600)
        cell.run()
        cell.node("other", 1)
        cell.pass_time(60)
        cell.migrate("mover")
        assert len(cell.decide().moves) == moves
        if moves:
            cell.leave()
            assert cell.run() == ["mover"]
        else:
            assert stays(cell).code is WaitCode.OVER_QUOTA
            assert stays(cell).blocker == "GPU-hours this month of project ml"


def test_what_waits_for_quota_does_not_take_that_of_a_job_on_its_way() -> None:
    stage = two_nodes()
    stage.set_quota("ml", Quota(gpu_milli=2000))
    stage.ask("urgent", 1, priority=9)
    stage.run()
    assert stage.why("urgent").code is WaitCode.OVER_QUOTA
    stage.migrate("mover")
    stage.decide()
    stage.leave()
    assert stage.run() == ["mover"]


def test_a_full_quota_is_no_reason_to_give_its_seats_to_others_meanwhile() -> None:
    stage = two_nodes()
    stage.set_quota("ml", Quota(gpu_milli=2000))
    stage.migrate("mover")
    stage.decide()
    stage.ask("other", 2, project="bio", priority=90)
    assert stage.run() == []
    stage.leave()
    assert sorted(stage.run()) == ["mover", "other"]


def test_a_quota_that_was_lowered_meanwhile_holds_on_arrival() -> None:
    stage = two_nodes()
    stage.node("n3", gpus=2)
    stage.node("n4", gpus=2)
    stage.ask("second", 2)
    stage.run()
    for name in ("mover", "second"):
        stage.migrate(name)
    assert len(stage.decide().moves) == 2
    stage.set_quota("ml", Quota(gpu_milli=2000))
    stage.leave()
    assert len(stage.run()) == 1
