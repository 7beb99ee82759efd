"""Orders, shares, quotas in a tree, and who may be asked to leave."""

from __future__ import annotations

import pytest

from domain.job.transitions import Phase
from domain.policy.events import Cohort, FairShare, Limits, Order, PreemptionRules
from domain.scheduling.reason import WaitCode
from domain.scheduling.rooms import Rooms
from domain.values.ids import JobId, ProjectId
from domain.values.time import SECOND
from tests.domain.scheduling.stage import Stage

FAIR = {"primary_policy": Order.FAIR_SHARE, "secondary_policy": Order.PRIORITY}


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.node("n1", gpus=2)
    return stage


def test_a_cycle_places_so_many_and_the_next_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.scheduling.plan.MOST_PLACEMENTS", 2)
    stage.node("n2", gpus=3)
    for number in range(6):
        stage.ask(f"j{number}", priority=number)
    assert [stage.run(), stage.run(), stage.run()] == [["j5", "j4"], ["j3", "j2"], ["j1"]]
    assert stage.why("j0").code is WaitCode.INSUFFICIENT_GPU


def test_a_cycle_asks_so_many_to_make_room_and_the_next_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.scheduling.plan.MOST_PREEMPTIONS", 1)
    for number in range(2):
        stage.ask(f"low{number}")
    stage.run()
    for number in range(2):
        stage.ask(f"high{number}", priority=200)
    asked = [[str(p.preemptor) for p in stage.decide().preemptions] for _ in range(3)]
    assert asked == [["high0"], ["high1"], []]


def test_fifo_does_not_look_at_priority(stage: Stage) -> None:
    stage.policy(primary_policy=Order.FIFO)
    stage.ask("first", 2)
    stage.ask("urgent", 2, priority=500)
    assert stage.run() == ["first"]


def test_waiting_makes_up_for_priority(stage: Stage) -> None:
    stage.policy(aging_seconds=60)
    stage.ask("old", 2, priority=10)
    stage.pass_time(600)
    stage.ask("young", 2, priority=15)
    assert stage.run() == ["old"]


def test_the_job_that_must_start_soonest_is_first(stage: Stage) -> None:
    stage.policy(primary_policy=Order.DEADLINE)
    late = stage.now + 10_000 * SECOND
    stage.ask("none", 2)
    stage.ask("later", 2, deadline=late)
    stage.ask("longer", 2, deadline=late, estimate_seconds=5000)
    assert stage.run() == ["longer"]


def test_who_used_little_goes_before_who_used_much(stage: Stage) -> None:
    stage.policy(**FAIR)
    stage.ask("big", 2, project="bio")
    assert stage.run() == ["big"]
    stage.pass_time(3600)
    stage.end(JobId("big"))
    stage.ask("bio-again", 2, project="bio")
    stage.ask("ml", 2, project="ml")
    assert stage.run() == ["ml"]


def test_what_was_used_long_ago_counts_less(stage: Stage) -> None:
    stage.policy(**FAIR, fair_share=FairShare(window_seconds=3600))
    stage.ask("old", 2, project="bio")
    stage.run()
    stage.pass_time(4 * 3600)
    stage.end(JobId("old"))
    stage.pass_time(5 * 3600)
    stage.ask("new", 2, project="ml")
    stage.run()
    stage.pass_time(3600)
    stage.end(JobId("new"))
    stage.ask("ml-2", 2, project="ml")
    stage.ask("bio-2", 2, project="bio")
    assert stage.run() == ["bio-2"]


def test_one_cycle_gives_to_projects_in_turn() -> None:
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.policy(**FAIR)
    for number in range(4):
        stage.ask(f"bio-{number}", 1, project="bio")
    for number in range(4):
        stage.ask(f"ml-{number}", 1, project="ml")
    assert sorted(job[:2] for job in stage.run()) == ["bi", "bi", "ml", "ml"]


def test_shares_weigh_and_organisations_come_before_projects() -> None:
    stage = Stage()
    stage.node("n1", gpus=6)
    stage.policy(**FAIR)
    stage.cohorts(
        Cohort("big", shares=2),
        Cohort("small"),
        Cohort("a", "big", project=ProjectId("a")),
        Cohort("b", "big", project=ProjectId("b")),
        Cohort("c", "small", project=ProjectId("c")),
    )
    for project in "abc":
        for number in range(6):
            stage.ask(f"{project}{number}", 1, project=project)
    assert sorted(job[0] for job in stage.run()) == ["a", "a", "b", "b", "c", "c"]


def test_a_project_borrows_what_another_does_not_use_up_to_a_limit() -> None:
    stage = Stage()
    stage.node("n1", gpus=8)
    stage.cohorts(
        Cohort("all"),
        Cohort("ml", "all", project=ProjectId("ml"), nominal=gpus(2), borrow=gpus(3)),
        Cohort("bio", "all", project=ProjectId("bio"), nominal=gpus(6)),
    )
    for number in range(8):
        stage.ask(f"ml-{number}")
    assert len(stage.run()) == 5
    assert stage.why("ml-7").code is WaitCode.OVER_QUOTA
    assert stage.why("ml-7").blocker == "gpu of cohort ml"


def test_what_is_not_lent_stays_free_for_its_owner() -> None:
    stage = Stage()
    stage.node("n1", gpus=8)
    stage.cohorts(
        Cohort("all"),
        Cohort("ml", "all", project=ProjectId("ml"), nominal=gpus(2)),
        Cohort("bio", "all", project=ProjectId("bio"), nominal=gpus(6), lend=gpus(1)),
    )
    for number in range(8):
        stage.ask(f"ml-{number}")
    assert len(stage.run()) == 3
    for number in range(8):
        stage.ask(f"bio-{number}", project="bio")
    assert [job[:3] for job in stage.run()] == ["bio"] * 5


def test_one_user_cannot_take_all_of_a_project() -> None:
    stage = Stage()
    stage.node("n1", gpus=8)
    stage.cohorts(Cohort("ml", project=ProjectId("ml"), user_limit=gpus(2)))
    for number in range(3):
        stage.ask(f"ml-{number}")
    assert len(stage.run()) == 2
    assert stage.why("ml-2").blocker == "gpu of user ada"


def test_an_elastic_gang_takes_what_its_quota_allows() -> None:
    stage = Stage()
    stage.node("n1", gpus=8)
    stage.cohorts(Cohort("ml", project=ProjectId("ml"), nominal=gpus(3)))
    stage.ask("elastic", 1, replicas=6, min_replicas=2)
    assert stage.run() == ["elastic"]
    assert len(stage.job("elastic").seats) == 3


def test_with_gangs_off_only_single_seats_start(stage: Stage) -> None:
    stage.policy(enable_gang_scheduling=False)
    stage.ask("gang", 1, replicas=2)
    stage.ask("single", 1)
    assert stage.run() == ["single"]
    assert stage.why("gang").code is WaitCode.GANGS_OFF


def _over_its_share(stage: Stage, board_from: int, priority: int) -> None:
    """One project holds all, at this priority; then another asks, at 0."""
    stage.snapshot.board_from = board_from
    stage.snapshot.rooms = Rooms()
    stage.policy(**FAIR, preemption=PreemptionRules(over_share=True))
    for job in ("bio-1", "bio-2"):
        stage.ask(job, 1, project="bio", priority=priority)
    stage.run()
    stage.pass_time(3600)
    stage.ask("ml-1", 1, project="ml")
    stage.run()


class TestPreemption:
    def test_the_victim_that_saved_last_loses_least(self) -> None:
        stage = Stage()
        stage.node("n1", gpus=2)
        stage.ask("saved", 1)
        stage.ask("unsaved", 1)
        stage.run()
        stage.pass_time(3600)
        stage.save(JobId("saved"))
        stage.ask("urgent", 1, priority=9)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == ["saved"]

    def test_only_who_reaches_the_threshold_preempts(self, stage: Stage) -> None:
        stage.policy(preemption=PreemptionRules(priority_threshold=100))
        stage.ask("low", 2)
        stage.run()
        stage.ask("mid", 2, priority=99)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == []
        stage.ask("high", 2, priority=100)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == ["low"]

    def test_a_job_is_asked_so_often_and_no_more(self, stage: Stage) -> None:
        stage.policy(preemption=PreemptionRules(max_preemptions=1))
        stage.ask("low", 2)
        stage.run()
        stage.ask("high", 2, priority=1)
        stage.run()
        stage.leave()
        stage.run()
        stage.end(JobId("high"))
        assert stage.run() == ["low"]
        stage.ask("again", 2, priority=1)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == []

    def test_a_job_runs_a_while_before_it_is_asked(self, stage: Stage) -> None:
        stage.policy(preemption=PreemptionRules(min_runtime_seconds=600))
        stage.ask("low", 2)
        stage.run()
        stage.ask("high", 2, priority=1)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == []
        stage.pass_time(600)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == ["low"]

    def test_who_is_not_preemptible_stays(self, stage: Stage) -> None:
        stage.ask("firm", 2, preemptible=False)
        stage.run()
        stage.ask("high", 2, priority=1)
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == []

    @pytest.mark.parametrize("board_from", [0, 64])
    def test_over_its_share_a_project_gives_way_to_one_below(
        self, stage: Stage, board_from: int
    ) -> None:
        _over_its_share(stage, board_from, priority=0)
        assert len(stage.in_phase(Phase.PREEMPTING)) == 1
        stage.leave()
        assert stage.run() == ["ml-1"]
        stage.run()
        assert stage.in_phase(Phase.PREEMPTING) == []

    @pytest.mark.parametrize("board_from", [0, 64])
    def test_over_its_share_a_project_gives_way_to_no_lower_priority(
        self, stage: Stage, board_from: int
    ) -> None:
        _over_its_share(stage, board_from, priority=1)
        assert stage.in_phase(Phase.PREEMPTING) == []

    def test_a_project_makes_so_many_leave_within_an_hour(self, stage: Stage) -> None:
        stage.policy(preemption=PreemptionRules(project_per_hour=1))
        stage.ask("low-1", 1)
        stage.ask("low-2", 1)
        stage.run()
        stage.ask("high-1", 1, priority=1, project="bio")
        stage.ask("high-2", 1, priority=1, project="bio")
        stage.run()
        assert len(stage.in_phase(Phase.PREEMPTING)) == 1
        stage.leave()
        stage.pass_time(3601)
        stage.run()
        stage.run()
        assert len(stage.in_phase(Phase.PREEMPTING)) == 1


def gpus(count: int) -> Limits:
    """So many GPUs."""
    return Limits(gpu_milli=count * 1000)


def test_what_a_more_important_victim_leaves_over_helps_with_others_in_the_same_cycle() -> None:
    stage = Stage()
    stage.node("n1", gpus=6)
    stage.ask("big", 4, priority=300)
    stage.ask("low", 2)
    stage.run()
    stage.ask("top", 3, priority=600)
    stage.ask("mid", 3, priority=200)
    asked = [(p.victim, p.preemptor) for p in stage.decide().preemptions]
    assert asked == [("big", "top"), ("low", "mid")]


def test_what_a_more_important_victim_leaves_over_helps_with_others_while_it_leaves() -> None:
    stage = Stage()
    stage.node("n1", gpus=6)
    stage.ask("big", 4, priority=300)
    stage.ask("filler", 2, priority=900)
    stage.run()
    stage.ask("top", 2, priority=600)
    assert [p.victim for p in stage.decide().preemptions] == ["big"]
    stage.end_all("filler")
    stage.ask("low", 2)
    assert stage.run() == ["low"]
    stage.ask("mid", 4, priority=200)
    assert [(p.victim, p.preemptor) for p in stage.decide().preemptions] == [("low", "mid")]
