"""Migration of a job: who may ask, what is recorded, and when a request is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.allocation.seat import Outcome, Seat
from domain.errors import Conflict, Invalid
from domain.event import Event
from domain.job import events as e
from domain.job import job as jobs
from domain.job import migrate
from domain.job.events import JobEvent, QueuedCause, StopCause
from domain.job.job import Job
from domain.job.migration import Migration
from domain.job.transitions import ENDED, WAITING, Phase
from domain.scheduling.reason import Constraint, Excluded, WaitCode, WaitReason
from domain.values.ids import AllocationId, NodeId
from tests.domain import examples as x
from tests.scenario import Scenario

given = Scenario(jobs.evolve).given
LATER = x.NOW + 1000
HERE, THERE, ELSEWHERE = NodeId("node-0"), NodeId("node-7"), NodeId("node-8")
RUNNING = x.IN_PHASE[Phase.RUNNING]
ASKED = e.MigrationRequested(1, (HERE,), THERE)
KEPT = (Seat(0, THERE),)
MOVES = e.PreemptionRequested(1, StopCause.MIGRATION, None, LATER, KEPT)
MOVED = e.Queued(QueuedCause.MIGRATED, x.NOW, 0, "train", "ada")


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING])
@pytest.mark.parametrize("to", [None, THERE])
def test_a_request_names_what_is_left_and_changes_no_phase(phase: Phase, to: NodeId | None) -> None:
    before = given(*x.IN_PHASE[phase])
    after = before.when(migrate.migrate, to).then(e.MigrationRequested(1, (HERE,), to))
    assert (after.phase, after.seats) == (phase, before.state.seats)
    assert after.migration == migrate.pending(after) == Migration((HERE,), to)


def test_a_gang_leaves_all_its_nodes() -> None:
    placed = e.Placed(1, x.ALLOCATION, x.seats(3), "best_fit")
    gang = given(x.submitted(replicas=3), x.QUEUED, placed)
    leaves = (NodeId("node-0"), NodeId("node-1"), NodeId("node-2"))
    gang.when(migrate.migrate, None).then(e.MigrationRequested(1, leaves))
    gang.when(migrate.migrate, NodeId("node-2")).refused(Invalid, "already_on_node", field="to")


def test_the_same_request_again_changes_nothing_and_another_takes_its_place() -> None:
    asked = given(*RUNNING, ASKED)
    asked.when(migrate.migrate, THERE).then()
    after = asked.when(migrate.migrate, None).then(e.MigrationRequested(1, (HERE,)))
    assert after.migration == Migration((HERE,))


def test_it_cannot_move_to_where_it_runs() -> None:
    given(*RUNNING).when(migrate.migrate, HERE).refused(Invalid, "already_on_node", field="to")


@pytest.mark.parametrize("phase", [*sorted((WAITING - {Phase.BLOCKED}) | ENDED)])
def test_what_is_not_placed_does_not_move(phase: Phase) -> None:
    given(*x.IN_PHASE[phase]).when(migrate.migrate, None).refused(
        Conflict, "wrong_phase", phase=phase
    )


@pytest.mark.parametrize("asked", [x.PREEMPTED, MOVES, *map(x.stopping, StopCause)])
def test_what_was_asked_to_leave_does_not_move(asked: Event) -> None:
    job = given(*RUNNING, asked)
    job.when(migrate.migrate, None).refused(Conflict, "already_stopping")


def test_a_request_is_withdrawn_until_the_job_is_asked_to_leave() -> None:
    after = given(*RUNNING, ASKED).when(migrate.withdraw).then(e.MigrationWithdrawn(1))
    assert after.migration is None
    given(*RUNNING).when(migrate.withdraw).refused(Conflict, "no_migration")
    given(*RUNNING, ASKED, MOVES).when(migrate.withdraw).refused(Conflict, "already_stopping")
    left = given(*RUNNING, ASKED, MOVES, MOVED)
    left.when(migrate.withdraw).refused(Conflict, "wrong_phase", phase=Phase.QUEUED)


def test_why_there_is_no_room_is_recorded_once_a_kind() -> None:
    few, fewer = (WaitReason(WaitCode.INSUFFICIENT_GPU, nodes=nodes) for nodes in (3, 2))
    asked = given(*RUNNING, ASKED)
    told = asked.when(migrate.explain_migration, few).then(e.MigrationExplained(1, few))
    assert (told.migration, told.waiting) == (Migration((HERE,), THERE, waiting=few), None)
    asked = given(*RUNNING, ASKED, e.MigrationExplained(1, few))
    asked.when(migrate.explain_migration, fewer).then()
    other = WaitReason(WaitCode.INSUFFICIENT_GPU, 3, 0, (Excluded(Constraint.GPU, 2),))
    asked.when(migrate.explain_migration, other).then(e.MigrationExplained(1, other))
    given(*RUNNING).when(migrate.explain_migration, few).then()
    given(*RUNNING, ASKED, MOVES).when(migrate.explain_migration, few).then()


def test_it_leaves_for_the_seats_kept_for_it_and_keeps_its_place_in_the_queue() -> None:
    moving = given(*RUNNING, ASKED).when(jobs.preempt, StopCause.MIGRATION, None, LATER, KEPT)
    leaving = moving.then(MOVES)
    assert leaving.leaves_for_another
    assert (leaving.migration, migrate.pending(leaving)) == (
        Migration((HERE,), THERE, KEPT),
        None,
    )
    again = given(*RUNNING, ASKED, MOVES, _ended(Outcome.STOPPED), MOVED)
    assert again.state.migration == Migration((HERE,), THERE, KEPT)
    assert (again.state.phase, again.state.queued_since) == (Phase.QUEUED, x.NOW)
    placed = e.Placed(2, AllocationId("alloc-1-2"), KEPT, "best_fit")
    there = again.when(jobs.place, AllocationId("alloc-1-2"), KEPT, "best_fit").then(placed)
    assert (there.migration, there.seats) == (None, KEPT)


def test_where_its_node_is_lost_meanwhile_its_seats_are_kept_all_the_same() -> None:
    moving = given(*RUNNING, ASKED, MOVES)
    lost = e.Queued(QueuedCause.NODE_LOST, x.NOW, 0, "train", "ada")
    after = moving.when(_end, Outcome.LOST, None).then(_ended(Outcome.LOST), lost)
    assert after.migration == Migration((HERE,), THERE, KEPT)


def test_a_job_that_ends_by_itself_while_it_leaves_moves_nowhere() -> None:
    done = given(*RUNNING, ASKED, MOVES).when(_end, Outcome.EXITED, 0)
    assert done.then(_ended(Outcome.EXITED, 0), e.Succeeded(1)).migration is None


OVER: dict[str, Callable[[Job], list[JobEvent]]] = {
    "cancelled": lambda j: jobs.cancel(j, LATER),
    "suspended": lambda j: jobs.suspend(j, LATER),
    "requeued": lambda j: jobs.requeue(j, LATER, LATER),
    "drained": lambda j: jobs.preempt(j, StopCause.DRAIN, None, LATER),
    "preempted": lambda j: jobs.preempt(j, StopCause.PRIORITY, None, LATER),
    "failed": lambda j: jobs.end_attempt(j, 1, Outcome.EXITED, 1, "", now=LATER, jitter_milli=0),
    "lost": lambda j: jobs.end_attempt(j, 1, Outcome.LOST, None, "", now=LATER, jitter_milli=0),
}


@pytest.mark.parametrize("what", OVER)
def test_a_request_ends_with_the_attempt_or_when_that_is_asked_to(what: str) -> None:
    state = given(*RUNNING, ASKED).state
    for event in OVER[what](state):
        state = jobs.evolve(state, event)
    assert state.migration is None


@pytest.mark.parametrize("what", ["cancelled", "suspended"])
def test_one_that_is_stopped_while_it_moves_gives_its_seats_up(what: str) -> None:
    state = given(*RUNNING, ASKED, MOVES).state
    for event in OVER[what](state):
        state = jobs.evolve(state, event)
    assert state.migration is None


def _end(job: Job, outcome: Outcome, code: int | None) -> list[JobEvent]:
    return jobs.end_attempt(job, 1, outcome, code, "", now=LATER, jitter_milli=0)


def _ended(outcome: Outcome, code: int | None = None) -> e.AttemptEnded:
    return e.AttemptEnded(1, outcome, code, "")
