"""Reservations and maintenance in the plan: who may be where, who has to leave, who is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.job.events import StopCause
from domain.job.transitions import PLACED, Phase
from domain.policy.events import Backfill
from domain.reservation import reservation as reservations
from domain.reservation.events import Cancelled
from domain.scheduling.moving import next_moment
from domain.scheduling.plan import plan
from domain.scheduling.reason import Constraint, WaitCode
from domain.scheduling.saved import pack, unpack
from domain.scheduling.windows import Windows
from domain.values.ids import JobId
from domain.values.time import DAY, HOUR, SECOND
from tests.domain.scheduling.reserved import ML, Reserved, stage


@pytest.fixture(scope="module", autouse=True, params=[64, 1], ids=["spaces", "board"])
def board(request: pytest.FixtureRequest) -> None:
    """Every test with rooms of spaces, and with a board of them."""
    Reserved.board_from = request.param


def test_a_job_that_would_run_into_a_window_waits_and_is_told() -> None:
    cell = stage("n1")
    cell.reserve("repair", 100, 1000, "n1")
    cell.ask("long", estimate_seconds=200)
    cell.ask("short", estimate_seconds=50)
    assert cell.run() == ["short"]
    reason = cell.why("long")
    assert reason.code is WaitCode.RESERVED_WINDOW
    assert [(x.constraint, x.nodes) for x in reason.excluded] == [(Constraint.RESERVED, 1)]


def test_a_job_that_is_gone_by_the_very_start_may_run() -> None:
    cell = stage("n1")
    cell.ask("exact", estimate_seconds=100)
    cell.reserve("repair", 100, 1000, "n1")
    cell.now -= 1  # recording took it
    assert cell.run() == ["exact"]


def test_nobody_starts_in_maintenance_and_all_may_after_it() -> None:
    cell = stage("n1")
    cell.reserve("repair", 100, 1000, "n1")
    cell.pass_time(100)
    cell.ask("job", estimate_seconds=10)
    assert cell.run() == []
    cell.pass_time(1000)
    assert cell.run() == ["job"]


def test_without_an_estimate_a_job_starts_only_before_the_notice() -> None:
    cell = stage("n1")
    cell.reserve("repair", 7200, 1000, "n1", notice_seconds=3600)
    cell.ask("early")
    assert cell.run() == ["early"]
    cell.pass_time(3600)
    cell.ask("late")
    assert cell.run() == []
    assert cell.why("late").code is WaitCode.RESERVED_WINDOW


@pytest.mark.parametrize("whom", [{"projects": ML}, {"users": ("ada",)}, {"jobs": ("mine",)}])
def test_in_its_window_only_who_is_admitted_starts(whom: dict[str, Any]) -> None:
    cell = stage("n1")
    cell.reserve("course", 100, 1000, "n1", **whom)
    cell.pass_time(200)
    project = "ml" if "projects" in whom else "bio"
    cell.ask("other", project="bio", estimate_seconds=10, priority=9)
    cell.ask("mine", project=project, estimate_seconds=10)
    admitted = ["other", "mine"] if "users" in whom else ["mine"]
    assert cell.run() == admitted  # every job of a stage is ada's


def test_jobs_of_one_line_are_told_apart_where_only_some_are_admitted_by_id() -> None:
    cell = stage("n1")
    cell.reserve("course", 100, 1000, "n1", jobs=(JobId("second"),))
    cell.pass_time(200)
    for name in ("first", "second", "third"):
        cell.ask(name, estimate_seconds=10)
    assert cell.run() == ["second"]
    for name in ("first", "third"):
        assert cell.why(name).code is WaitCode.RESERVED_WINDOW
    assert cell.decide().waits == []


def test_who_is_admitted_must_be_gone_by_the_end_if_that_is_known() -> None:
    cell = stage("n1")
    cell.reserve("course", 100, 1000, "n1", projects=ML)
    cell.pass_time(200)
    cell.ask("long", estimate_seconds=2000)
    cell.ask("unknown")
    cell.ask("short", estimate_seconds=500)
    assert cell.run() == ["unknown", "short"]
    assert cell.why("long").code is WaitCode.RESERVED_WINDOW


def test_of_two_windows_at_once_both_must_admit() -> None:
    cell = stage("n1")
    cell.reserve("course", 0, 1000, "n1", projects=ML)
    cell.reserve("repair", 500, 1000, "n1")
    cell.ask("long", estimate_seconds=800)
    cell.ask("short", estimate_seconds=100)
    assert cell.run() == ["short"]


def test_a_cancelled_window_keeps_nothing() -> None:
    cell = stage("n1")
    cell.reserve("repair", 0, 1000, "n1")
    cell.ask("job", estimate_seconds=10)
    assert cell.run() == []
    known = cell.snapshot.reservations["repair"]
    cell.record("reservation/repair", reservations.cancel(known, cell.now))
    assert cell.run() == ["job"]


def test_a_window_that_was_over_and_forgotten_may_be_cancelled_late() -> None:
    """The clock was set back, or the command took long: the log has both, in this order."""
    cell = stage("n")
    cell.reserve("short", 0, 10, "n", projects=("bio",))
    cell.pass_time(2 * DAY // SECOND)
    cell.reserve("other", 3600, 10, "n", projects=("bio",))
    assert set(cell.snapshot.reservations) == {"other"}
    cell.record("reservation/short", [Cancelled()])
    assert set(cell.snapshot.reservations) == {"other"}
    cell.ask("job", estimate_seconds=60)
    assert cell.run() == ["job"]


def test_what_still_runs_is_asked_to_leave_its_grace_before_the_window() -> None:
    cell = stage("n1")
    for name, changes in {"plain": {}, "slow": {"grace_seconds": 300}, "mine": {}}.items():
        cell.ask(name, project="ml" if name == "mine" else "bio", **changes)
    cell.run()
    cell.reserve("course", 1000, 1000, "n1", projects=ML)
    for passed, left in ((699, []), (2, ["slow"]), (268, ["slow"]), (2, ["plain", "slow"])):
        cell.pass_time(passed)
        cell.conclude()
        assert cell.in_phase(Phase.PREEMPTING) == left
    assert cell.job("plain").stop_cause is StopCause.WINDOW
    cell.leave()
    assert cell.in_phase(Phase.QUEUED) == ["plain", "slow"]
    assert cell.run() == []


def test_who_is_expected_to_be_gone_in_time_is_asked_only_when_it_is_not() -> None:
    cell = stage("n1")
    cell.ask("exact", estimate_seconds=1000)
    cell.run()
    cell.reserve("repair", 1000, 1000, "n1")
    cell.pass_time(999)
    cell.conclude()
    assert cell.in_phase(Phase.PREEMPTING) == []
    cell.pass_time(1)
    cell.conclude()
    assert cell.in_phase(Phase.PREEMPTING) == ["exact"]


def test_the_scheduler_is_woken_when_a_window_begins_or_ends_or_somebody_has_to_leave() -> None:
    cell = stage("n1")
    cell.ask("job", grace_seconds=300)
    cell.run()
    cell.reserve("repair", 1000, 1000, "n1")
    start, moments, at = cell.now + 1000 * SECOND - 1, [], cell.now
    while (moment := next_moment(cell.snapshot, at)) is not None:
        moments.append((moment - start) // SECOND)
        at = moment
    assert moments == [-300, 0, 1000]


def test_an_amount_takes_whole_nodes_that_are_enough_and_others_go_elsewhere() -> None:
    cell = stage("n1", "n2", "n3")
    cell.node("big", 8)
    cell.node("h", 8, model="H100")
    cell.reserve("course", 100, 1000, gpus=11, gpu_type="A100", projects=ML)
    assert cell.kept("course") == {"big", "n3"}
    cell.ask("wide", 4, project="bio", estimate_seconds=500)
    assert cell.run() == ["wide"]
    assert cell.nodes_of("wide") in (["n1"], ["n2"])


def test_an_amount_stands_by_its_nodes_and_replaces_what_is_lost() -> None:
    cell = stage("n1", "n2", "n3")
    cell.reserve("course", 100, 1000, gpus=4, projects=ML)
    cell.ask("there", 4, estimate_seconds=50)
    cell.run()
    assert cell.kept("course") == {"n3"}
    cell.cordon("n3")
    assert cell.kept("course") == {"n2"}


def test_amounts_that_overlap_in_time_share_no_node_and_others_may() -> None:
    cell = stage("n1", "n2", "n3")
    cell.reserve("named", 100, 10, "n3")
    cell.reserve("first", 100, 1000, gpus=4, projects=ML)
    cell.reserve("second", 500, 1000, gpus=4, projects=ML)
    cell.reserve("later", 5000, 1000, gpus=4, projects=ML)
    assert [cell.kept(n) for n in ("first", "second", "later")] == [{"n2"}, {"n3"}, {"n3"}]


def test_a_held_start_waits_for_the_window_to_pass() -> None:
    cell = stage("n1")
    cell.ask("runs", 4, estimate_seconds=100)
    cell.run()
    cell.reserve("repair", 200, 1000, "n1")
    over = cell.now + 1200 * SECOND - 1
    cell.ask("wide", 4, estimate_seconds=500)
    cell.run()
    assert cell.why("wide").starts_at == over


def test_a_job_is_not_made_room_for_where_it_may_not_be() -> None:
    cell = stage("n1")
    cell.ask("runs", 4)
    cell.run()
    cell.reserve("repair", 200, 1000, "n1", notice_seconds=0)
    cell.ask("urgent", 4, priority=9, estimate_seconds=500)
    assert cell.decide().preemptions == []
    cell.ask("brief", 4, priority=9, estimate_seconds=50)
    assert [p.victim for p in cell.decide().preemptions] == ["runs"]


def test_a_saved_snapshot_keeps_reservations_in_their_order() -> None:
    cell = stage("n1", "n2")
    cell.reserve("b", 100, 1000, gpus=4, projects=ML)
    cell.reserve("a", 100, 1000, gpus=4, projects=ML)
    kept = unpack(pack(cell.snapshot))
    kept.board_from = cell.board_from
    assert kept == cell.snapshot
    assert list(kept.reservations) == ["b", "a"]


JOBS = st.lists(
    st.tuples(
        st.integers(1, 4),  # GPUs
        st.integers(1, 60),  # tens of seconds it runs
        st.sampled_from(["ml", "bio"]),
        st.integers(0, 60),  # tens of seconds until it comes
        st.integers(0, 1),  # priority
    ),
    min_size=1,
    max_size=12,
)
WINDOWS = st.lists(
    st.tuples(
        st.integers(0, 80),
        st.integers(1, 40),
        st.sampled_from([("n1",), ("n2",), ("n1", "n2"), 1, 5]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@given(JOBS, WINDOWS, st.sampled_from(list(Backfill)), st.integers(1, 3))
def test_with_exact_estimates_nobody_is_ever_in_a_window_that_does_not_admit_it(
    jobs: list[tuple[int, int, str, int, int]],
    windows: list[tuple[int, int, Any, bool]],
    backfill: Backfill,
    depth: int,
) -> None:
    """Jobs come, run exactly as long as they said; nobody has to be asked to leave for a window."""
    cell = stage("n1", "n2")
    cell.policy(backfill=backfill, backfill_depth=depth, enable_preemption=False)
    begin = cell.now
    for number, (after, length, what, open_) in enumerate(windows):
        amount = {"gpus": what} if isinstance(what, int) else {}
        whom = {"projects": ML} if open_ or amount else {}
        nodes = () if amount else what
        cell.reserve(f"r{number}", after * 10, length * 10, *nodes, **amount, **whom)
    arrivals = sorted((begin + (j[3] * 10 + 5) * SECOND, f"j{n}", j) for n, j in enumerate(jobs))
    ends: list[tuple[int, str]] = []
    edges = [begin + (w[0] + e) * 10 * SECOND + SECOND for w in windows for e in (0, w[1])]
    moments = sorted(set(edges))
    while arrivals or ends or moments:
        at = min([a[0] for a in arrivals[:1]] + [e[0] for e in ends] + moments[:1])
        cell.now = at
        moments = [moment for moment in moments if moment > at]
        for end in [e for e in sorted(ends) if e[0] <= at]:
            cell.end(JobId(end[1]))
            ends.remove(end)
        while arrivals and arrivals[0][0] <= at:
            _, name, (gpus, tens, project, _, priority) = arrivals.pop(0)
            cell.now = at - SECOND
            cell.ask(name, gpus, project, priority=priority, estimate_seconds=tens * 10)
        cell.now = at
        ends += [(at + cell.job(n).spec.estimate_seconds * SECOND, n) for n in cell.run()]
        check_holds(cell)
        assert cell.in_phase(Phase.PREEMPTING) == []
        for placed in cell.in_phase(*PLACED):
            job = cell.job(placed)
            closed = Windows(cell.snapshot, at).under_way(job, at)
            assert closed.isdisjoint(seat.node for seat in job.seats), (placed, closed)


def check_holds(cell: Reserved) -> None:
    """No held start overlaps a window that does not admit its job."""
    windows = Windows(cell.snapshot, cell.now)
    for name, start in plan(cell.snapshot, cell.now).starts.items():
        job = cell.job(name)
        end = start + job.spec.estimate_seconds * SECOND
        closed = windows.kept(windows.access(job), start, end)
        free = [n for n in cell.snapshot.nodes if n not in closed]
        assert free, (name, start - cell.now)
        for one in windows.live:
            span = one.terms.schedule.next_after(start)
            if (
                one.terms.nodes == ("n1", "n2")
                and span
                and job.spec.project not in one.terms.projects
            ):
                assert span[0] >= end


def test_a_node_that_is_not_there_keeps_nothing() -> None:
    cell = stage("n1")
    cell.reserve("repair", 0, 1000, "gone")
    for name in ("one", "two"):
        cell.ask(name, 2, estimate_seconds=100)
    assert cell.run() == ["one", "two"]


def test_what_is_given_away_beside_a_window_is_given_once() -> None:
    cell = stage("n1", "n2")
    cell.reserve("repair", 0, 1000, "n2")
    for number in range(3):
        cell.ask(f"job{number}", 2, estimate_seconds=100 + number)
    assert cell.run() == ["job0", "job1"]
    assert cell.nodes_of("job0") == cell.nodes_of("job1") == ["n1"]


def test_windows_come_again() -> None:
    cell = stage("n1")
    cell.reserve("weekly", 0, 3600, "n1", every_seconds=7 * 24 * 3600)
    cell.now += HOUR
    cell.ask("long", estimate_seconds=8 * 24 * 3600)
    cell.ask("short", estimate_seconds=3600)
    assert cell.run() == ["short"]
