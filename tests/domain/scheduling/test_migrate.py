"""Running jobs that are to run elsewhere: where they go, when, and why not yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.job.events import StopCause
from domain.job.transitions import Phase
from domain.job.where import Affinity, Scope, Where
from domain.policy.events import Order, PreemptionRules
from domain.scheduling.grace import grace_of
from domain.scheduling.plan import plan
from domain.scheduling.reason import Constraint, WaitCode, WaitReason
from domain.scheduling.saved import pack, unpack
from domain.values.ids import JobId
from domain.values.resources import Resources
from domain.values.time import SECOND
from domain.values.topology import Location
from tests.domain.scheduling.stage import Stage


def two_nodes(**spec: Any) -> Stage:
    """A job on n1; n2 is as large and free."""
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.ask("mover", 2, **spec)
    stage.run()
    stage.node("n2", gpus=2)
    return stage


def on_its_way(to: str | None = None) -> Stage:
    """The job was asked to leave n1 for n2."""
    stage = two_nodes()
    stage.migrate("mover", to)
    stage.decide()
    return stage


def stays(stage: Stage, job: str = "mover") -> WaitReason:
    """Why the job cannot move yet."""
    move = stage.job(job).migration
    assert move is not None, f"{job} is not to move"
    assert isinstance(move.waiting, WaitReason), f"{job} was told nothing"
    return move.waiting


@pytest.mark.parametrize("to", [None, "n2"])
def test_a_job_saves_leaves_and_starts_where_room_was_kept_for_it(to: str | None) -> None:
    stage = two_nodes(grace_seconds=7)
    since = stage.job("mover").queued_since
    stage.migrate("mover", to)
    assert stage.job("mover").phase is Phase.RUNNING
    [move] = stage.decide().moves
    assert [str(seat.node) for seat in move.seats] == ["n2", "n2"][: len(move.seats)]
    asked = stage.job("mover")
    assert (asked.phase, asked.stop_cause) == (Phase.PREEMPTING, StopCause.MIGRATION)
    assert asked.stop_deadline is not None
    assert 0 < asked.stop_deadline - stage.now <= grace_of(asked, stage.snapshot) * SECOND
    assert stage.run() == []
    stage.leave()
    assert (stage.job("mover").phase, stage.job("mover").queued_since) == (Phase.QUEUED, since)
    assert stage.run() == ["mover"]
    assert stage.nodes_of("mover") == ["n2"]
    assert (stage.job("mover").attempt, stage.job("mover").migration) == (2, None)
    assert stage.snapshot.migrating == set()


def test_it_runs_on_while_there_is_no_room_and_moves_once_there_is() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.node("n2", gpus=2)
    for name in ("a", "b"):
        stage.ask(name, 2)
    stage.run()
    [home] = stage.nodes_of("a")
    stage.migrate("a")
    assert stage.decide().moves == []
    assert stage.job("a").phase is Phase.RUNNING
    reason = stays(stage, "a")
    assert reason.code is WaitCode.INSUFFICIENT_GPU
    counts = {each.constraint: each.nodes for each in reason.excluded}
    assert counts == {Constraint.GPU: 1, Constraint.LEFT: 1}
    assert stage.decide().stays == []
    stage.end(JobId("b"))
    assert [move.job for move in stage.decide().moves] == ["a"]
    stage.leave()
    assert stage.run() == ["a"]
    assert stage.nodes_of("a") != [home]


def test_nobody_gets_the_seats_kept_for_it_however_important() -> None:
    stage = on_its_way()
    stage.ask("urgent", 2, priority=90)
    assert stage.run() == []
    assert stage.why("urgent").code is WaitCode.PREEMPTING  # n1 is about to be free
    stage.leave()
    assert sorted(stage.run()) == ["mover", "urgent"]
    assert (stage.nodes_of("mover"), stage.nodes_of("urgent")) == (["n2"], ["n1"])


def test_it_has_its_turn_by_rank_among_those_that_wait() -> None:
    stage = two_nodes(priority=5)
    stage.migrate("mover")
    stage.ask("less", 2, priority=1)
    stage.ask("more", 2, priority=9)
    stage.policy(enable_preemption=False)
    made = stage.decide()
    assert ([p.job for p in made.placements], made.moves) == (["more"], [])
    stage.end(JobId("more"))
    made = stage.decide()
    assert (made.placements, [m.job for m in made.moves]) == ([], ["mover"])


def test_it_is_not_asked_to_leave_twice_in_a_cycle() -> None:
    stage = Stage()
    stage.node("n1", gpus=2, labels=(("zone", "a"),))
    stage.ask("mover", 2)
    stage.run()
    stage.node("n2", gpus=2)
    stage.migrate("mover")
    stage.ask("urgent", 2, priority=9, where=Where(selector=(("zone", "a"),)))
    made = stage.decide()
    assert ([p.victim for p in made.preemptions], made.moves) == (["mover"], [])
    assert stage.job("mover").stop_cause is StopCause.PRIORITY
    assert stage.job("mover").migration is None


@pytest.mark.parametrize("board_from", [0, 64])
def test_one_that_moves_is_no_victim_of_those_behind_it(board_from: int) -> None:
    stage = two_nodes()
    stage.policy(primary_policy=Order.FIFO, secondary_policy=Order.FIFO)
    stage.migrate("mover")
    for name in ("behind", "further"):
        stage.ask(name, 2, priority=9)
    made = plan(replace(stage.snapshot, board_from=board_from), stage.now)
    assert ([m.job for m in made.moves], made.preemptions) == (["mover"], [])


def test_those_behind_get_what_it_leaves_and_know_it() -> None:
    stage = two_nodes(priority=5)
    stage.migrate("mover")
    stage.ask("behind", 2)
    stage.decide()
    assert stage.why("behind").code is WaitCode.PREEMPTING


def test_who_comes_behind_it_delays_no_held_start_either() -> None:
    """Of 8 CPUs 3 are free, and 2 are spare beside the start that is held: those it takes."""
    stage = Stage()
    stage.policy(enable_preemption=False)
    stage.node("n1")
    stage.ask("mover", priority=5, resources=Resources(2000))
    stage.ask("stays", resources=Resources(6000))
    stage.run()
    stage.node("n2")
    stage.ask("runs", resources=Resources(5000), estimate_seconds=100)
    stage.run()
    stage.ask("wide", priority=9, resources=Resources(6000))
    stage.ask("late", resources=Resources(1000))
    stage.migrate("mover")
    made = stage.decide()
    assert ([m.job for m in made.moves], made.placements) == (["mover"], [])


def test_a_job_that_may_not_be_preempted_moves_when_asked() -> None:
    stage = two_nodes(preemptible=False)
    stage.migrate("mover")
    assert [m.job for m in stage.decide().moves] == ["mover"]


def gang_beside_a_node() -> Stage:
    """A gang of two that has a node for each seat, and a third one of that size."""
    stage = Stage()
    for name in ("n1", "n2"):
        stage.node(name, gpus=1)
    stage.ask("gang", 1, replicas=2)
    stage.run()
    stage.node("n3", gpus=1)
    return stage


def test_a_gang_moves_whole_or_not_at_all() -> None:
    stage = gang_beside_a_node()
    stage.migrate("gang")
    assert stage.decide().moves == []
    assert stays(stage, "gang").code is WaitCode.GANG_TOO_LARGE
    stage.node("n4", gpus=1)
    [move] = stage.decide().moves
    assert {str(seat.node) for seat in move.seats} == {"n3", "n4"}


def test_an_elastic_gang_moves_with_the_seats_it_has() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.ask("gang", 1, replicas=4, min_replicas=1)
    stage.run()
    assert len(stage.job("gang").seats) == 2
    stage.node("n2", gpus=1)
    stage.migrate("gang")
    assert stage.decide().moves == []
    stage.node("n3", gpus=4)
    [move] = stage.decide().moves
    assert len(move.seats) == 2
    stage.leave()
    stage.run()
    assert len(stage.job("gang").seats) == 2


def test_a_gang_moves_to_one_node_that_holds_all_of_it() -> None:
    stage = gang_beside_a_node()
    stage.node("n4", gpus=2)
    stage.migrate("gang", "n4")
    [move] = stage.decide().moves
    assert {str(seat.node) for seat in move.seats} == {"n4"}


def test_to_a_node_it_goes_there_or_nowhere() -> None:
    stage = two_nodes()
    stage.node("n3", gpus=2)
    stage.cordon("n3")
    stage.migrate("mover", "n3")
    assert stage.decide().moves == []
    reason = stays(stage)
    assert reason.code is WaitCode.CORDONED
    counts = {each.constraint: each.nodes for each in reason.excluded}
    assert counts == {Constraint.CORDONED: 1, Constraint.OTHER: 2}
    assert "2 other than the one it is to move to" in reason.text()
    stage.uncordon("n3")
    stage.decide()
    stage.leave()
    stage.run()
    assert stage.nodes_of("mover") == ["n3"]


def test_where_it_runs_on_all_nodes_there_is_nowhere_to_go() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.ask("mover", 1)
    stage.run()
    stage.migrate("mover")
    stage.decide()
    assert stays(stage).code is WaitCode.NOT_ELIGIBLE
    assert "1 that it is to leave" in stays(stage).text()


def test_where_the_new_node_is_lost_it_waits_like_any_other() -> None:
    stage = on_its_way("n2")
    stage.lose("n2")
    stage.leave()
    assert stage.run() == ["mover"]
    assert stage.nodes_of("mover") == ["n1"]


def test_where_the_old_node_is_lost_it_goes_where_it_was_to_go() -> None:
    stage = on_its_way()
    stage.lose("n1")
    stage.conclude()
    assert stage.job("mover").phase is Phase.QUEUED
    assert stage.run() == ["mover"]
    assert stage.nodes_of("mover") == ["n2"]


def test_one_that_is_cancelled_on_its_way_gives_its_seats_up() -> None:
    stage = on_its_way()
    stage.cancel(JobId("mover"))
    stage.ask("next", 2)
    assert stage.run() == ["next"]
    assert stage.nodes_of("next") == ["n2"]


def test_a_drain_comes_before_a_request() -> None:
    stage = two_nodes()
    stage.cordon("n2")
    stage.migrate("mover")
    stage.decide()
    stage.cordon("n1", drain=True)
    stage.conclude()
    assert (stage.job("mover").stop_cause, stage.job("mover").migration) == ("drain", None)


def test_a_move_counts_neither_for_the_one_that_moves_nor_for_its_project() -> None:
    stage = two_nodes()
    stage.policy(preemption=PreemptionRules(max_preemptions=1, project_per_hour=1))
    stage.migrate("mover")
    stage.decide()
    assert (stage.snapshot.asked, stage.snapshot.made) == ({}, {})


def test_no_move_where_the_policy_starts_no_gangs() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.ask("gang", 1, replicas=2)
    stage.run()
    stage.node("n2", gpus=2)
    stage.policy(enable_gang_scheduling=False)
    stage.migrate("gang")
    assert stage.decide().moves == []
    assert stays(stage, "gang").code is WaitCode.GANGS_OFF


def test_a_start_that_is_held_is_not_delayed() -> None:
    """A move takes no room that a job ahead is planned to start in."""
    stage = Stage()
    stage.policy(enable_preemption=False)
    stage.node("n1", gpus=2)
    stage.ask("mover", 2, estimate_seconds=1000)
    stage.run()
    stage.node("n2", gpus=4)
    stage.ask("runs", 2, estimate_seconds=100)
    stage.run()
    stage.ask("wide", 4, estimate_seconds=50, priority=9)
    made = stage.decide()
    stage.migrate("mover")
    with_it = stage.decide()
    assert (with_it.moves, with_it.starts) == ([], made.starts)
    assert stays(stage).code is WaitCode.CAPACITY_RESERVED
    stage.node("n3", gpus=2)
    assert [str(seat.node) for seat in stage.decide().moves[0].seats] == ["n3"]


@pytest.mark.parametrize("scope", [Scope.NODE, Scope.RACK])
def test_its_own_seats_are_not_what_it_must_be_near_to_or_away_from(scope: Scope) -> None:
    label = ("app", "train")
    stage = Stage()
    stage.node("n1", gpus=1, location=Location("r1", "s1"))
    away = Where(affinity=(Affinity(label, scope, avoid=True),))
    stage.ask("mover", 1, labels=(label,), where=away)
    stage.run()
    stage.node("n2", gpus=1, location=Location("r1", "s1"))
    stage.migrate("mover")
    assert len(stage.decide().moves) == 1

    stage = Stage()
    stage.node("n1", gpus=1, location=Location("r1", "s1"))
    near = Where(affinity=(Affinity(label, scope),))
    stage.ask("mover", 1, labels=(label,), where=near)
    stage.run()
    stage.node("n2", gpus=1, location=Location("r2", "s1"))
    stage.migrate("mover")
    assert len(stage.decide().moves) == 1


@pytest.mark.parametrize("to", [None, "n3"])
def test_it_keeps_away_from_others_also_where_those_run_on_a_node_it_leaves(to: str | None) -> None:
    label = ("app", "noisy")
    stage = Stage()
    stage.node("n1", gpus=2, location=Location("r1", "s1"))
    away = Where(affinity=(Affinity(label, Scope.RACK, avoid=True),))
    stage.ask("mover", 1, where=away)
    stage.run()
    stage.ask("noisy", 1, labels=(label,))
    stage.run()
    stage.node("n3", gpus=1, location=Location("r1", "s1"))
    stage.migrate("mover", to)
    assert stage.decide().moves == []
    stage.node("n4", gpus=1, location=Location("r2", "s1"))
    moves = stage.decide().moves
    assert [str(s.node) for m in moves for s in m.seats] == ([] if to else ["n4"])


def test_what_is_kept_is_kept_in_a_saved_state_too() -> None:
    stage = on_its_way()
    stage.snapshot = unpack(pack(stage.snapshot))
    assert stage.snapshot.migrating == stage.snapshot.leaving == {"mover"}
    stage.ask("urgent", 2, priority=90)
    assert stage.run() == []
    stage.leave()
    assert sorted(stage.run()) == ["mover", "urgent"]
    assert stage.nodes_of("mover") == ["n2"]
