"""Budgets over time: reserved as it is decided, exceeded at no position of the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome
from domain.errors import Conflict
from domain.job import job as jobs
from domain.job.events import StopCause
from domain.job.spec import JobSpec, Retry
from domain.job.transitions import PLACED, Phase
from domain.policy.events import GpuPrice, PriceList
from domain.project.budget import Budget, Per, window_at
from domain.scheduling.budgets import END_SECONDS, Budgets, next_turn
from domain.scheduling.reason import WaitCode
from domain.scheduling.saved import pack, unpack
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, ProjectId
from domain.values.resources import Resources
from domain.values.time import DAY, HOUR, SECOND, from_datetime, to_text
from tests.domain.scheduling.cell import STOPPED, SUCCESS
from tests.domain.scheduling.paying import PRICES, SPARE, Paying, h100s, month, stage


def test_what_is_reserved_is_replaced_by_what_was_used() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=2 * (3600 + SPARE) - 1))
    cell.ask("first", 1, time_limit_seconds=3600)
    cell.ask("second", 1, time_limit_seconds=3600)
    assert cell.run() == ["first"]
    cell.pass_time(60)
    cell.end(JobId("first"))
    assert cell.run() == ["second"]


def test_who_has_to_wait_is_told_which_budget_and_until_when() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=3600 + SPARE), replace(month(money_micro=1), user="bob"))
    cell.ask("first", 1, time_limit_seconds=3600)
    cell.ask("second", 1, time_limit_seconds=3600)
    assert cell.run() == ["first"]
    why = cell.why("second")
    assert (why.code, why.blocker) == (
        WaitCode.OVER_QUOTA,
        "GPU-hours this month of project ml",
    )
    assert to_text(why.frees_at or 0) == "2026-12-01T00:00:00.000000Z"
    assert "from 2026-12-01" in why.text()


def test_a_new_window_has_all_of_the_budget_again() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=3600 + SPARE))
    cell.ask("first", 1, time_limit_seconds=3600)
    cell.run()
    cell.pass_time(3600)
    cell.end(JobId("first"))
    cell.ask("second", 1, time_limit_seconds=3600)
    assert cell.run() == []
    turn = next_turn(cell.snapshot.budgets, cell.now)
    assert turn == from_datetime(datetime(2026, 12, 1, tzinfo=UTC))
    cell.now = turn - 3600 * SECOND
    assert cell.run() == []
    cell.now = turn
    assert cell.run() == ["second"]


def test_a_job_that_outlasts_its_window_is_paid_by_both() -> None:
    """Each window of a day has to have what of the job falls into it."""
    cell = stage()
    cell.limit(Budget(Per.DAY, gpu_seconds=24 * 3600))
    cell.ask("long", 1, time_limit_seconds=3 * 24 * 3600)
    cell.ask("beside", 1, time_limit_seconds=13 * 3600)
    assert cell.run() == ["long"]
    assert cell.why("beside").frees_at is None, "the day after has no more than today"
    cell.limit(Budget(Per.DAY, gpu_seconds=24 * 3600 + 12 * 3600))
    assert cell.run() == ["beside"], "half of it falls into each day"


def test_a_rolling_window_frees_what_falls_out_of_it() -> None:
    cell = stage()
    cell.limit(Budget(Per.HOURS, 24, gpu_seconds=3600 + SPARE))
    cell.ask("first", 1, time_limit_seconds=3600)
    cell.run()
    cell.pass_time(3000)
    cell.end(JobId("first"))
    cell.ask("second", 1, time_limit_seconds=3600)
    assert cell.run() == []
    at = cell.why("second").frees_at
    assert to_text(at or 0) == "2026-11-25T13:00:00.000000Z"
    cell.now = (at or 0) - 1
    assert cell.run() == []
    cell.now = at or 0
    assert cell.run() == ["second"]


def test_without_a_time_limit_or_an_estimate_nothing_can_be_reserved() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=10**9))
    cell.ask("endless", 1)
    cell.ask("no-gpu", 0, resources=Resources(1000))
    assert cell.run() == ["no-gpu"], "the budget is not charged for it"
    assert cell.why("endless").code is WaitCode.NO_TIME_LIMIT


def test_the_time_limit_is_reserved_if_there_is_enough_else_the_estimate() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=10 * 3600))
    cell.ask("wide", 1, time_limit_seconds=9 * 3600, estimate_seconds=600)
    assert cell.run() == ["wide"]
    reserved = cell.job("wide").stop_at - cell.now
    assert reserved > 9 * 3600 * SECOND
    cell.ask("narrow", 1, time_limit_seconds=9 * 3600, estimate_seconds=600)
    assert cell.run() == ["narrow"]
    assert cell.job("narrow").stop_at - cell.now < 3600 * SECOND


def test_a_job_is_asked_to_end_before_its_reservation_is_used_up() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=3600 + SPARE))
    cell.ask("over", 1, estimate_seconds=3600)
    cell.run()
    job = cell.job("over")
    [held] = cell.judge.held.values()
    assert jobs.limit_at(job) == job.stop_at
    assert held.until == job.stop_at + (30 + END_SECONDS) * SECOND
    with pytest.raises(Conflict):
        jobs.reach_limit(job, job.stop_at - 1, job.stop_at)
    cell.now = job.stop_at
    cell.reach_limits()
    assert cell.job("over").stop_cause is StopCause.BUDGET
    cell.end(JobId("over"), STOPPED)
    assert JobId("over") not in cell.snapshot.jobs


def test_what_takes_longer_than_its_terms_is_at_nobodys_charge() -> None:
    cell = stage()
    cell.limit(month(money_micro=10**9, gpu_seconds=3600 + SPARE))
    cell.ask("stuck", 1, time_limit_seconds=3600)
    cell.run()
    cell.pass_time(10 * 3600)  # its node cannot be reached; the law is looked at in `record`
    cell.end(JobId("stuck"), STOPPED)
    account = next(cell.accounts())
    assert cell.standing(account)[0][0] == (3600 + SPARE) * 1000 * SECOND - 1000


def test_prices_hold_for_a_job_from_its_placement_on() -> None:
    cell = stage()
    cell.limit(month(money_micro=4_000_000))
    cell.ask("first", 1, time_limit_seconds=3600)
    assert cell.run() == ["first"]
    cell.price(replace(PRICES, gpu_micro=100_000_000))
    cell.ask("second", 1, time_limit_seconds=60)
    assert cell.run() == [], "for new ones it is dearer"
    assert cell.why("second").blocker == "money this month of project ml"


def test_what_costs_nothing_yet_is_placed_on_terms_too() -> None:
    """Else it would be charged, unreserved, as soon as there is a price."""
    cell = stage()
    cell.price(PriceList("USD", 0, 0, 0))
    cell.limit(month(money_micro=1_000_000))
    cell.ask("free", 1, time_limit_seconds=3600)
    cell.ask("endless", 1)
    assert cell.run() == ["free"]
    assert cell.why("endless").code is WaitCode.NO_TIME_LIMIT
    cell.price(PRICES)
    cell.pass_time(3600)
    cell.end(JobId("free"))
    assert cell.standing(next(cell.accounts()))[0][1] == 0


def test_each_user_has_what_each_may_use() -> None:
    cell = stage()
    cell.limit(replace(month(gpu_seconds=3600 + SPARE), user="*"))
    asked = cell.job(cell.ask("first", 1, time_limit_seconds=3600)).spec
    cell.submit("by-ada", asked)
    cell.submit("by-bob", asked, "bob")
    assert cell.run() == ["first", "by-bob"]
    assert cell.why("by-ada").blocker == "GPU-hours this month of user ada"


def test_an_elastic_gang_gets_the_seats_its_budget_pays_for() -> None:
    cell = stage()
    cell.limit(month(gpu_seconds=3 * (3600 + SPARE)))
    cell.ask("gang", 1, time_limit_seconds=3600, replicas=5, min_replicas=2)
    assert cell.run() == ["gang"]
    assert len(cell.job("gang").seats) == 3


def test_a_budget_counts_what_was_used_before_it_was_set() -> None:
    cell = stage()
    cell.ask("before", 1)
    cell.run()
    cell.pass_time(7200)
    cell.limit(month(gpu_seconds=7200 + 3600))
    cell.ask("after", 1, time_limit_seconds=3600)
    assert cell.run() == []
    cell.end(JobId("before"))
    cell.limit(month(gpu_seconds=7200 + 3600 + 2 * SPARE))
    assert cell.run() == ["after"]


GPU_SECONDS = st.integers(2_000, 100_000)
MONEY = st.integers(1_000_000, 100_000_000)
LIMITS = st.sampled_from(["gpu", "money", "both"])


def _budget(per: Per, length: int, user: str, which: str, gpu: int, money: int) -> Budget:
    return Budget(
        per, length, user, None if which == "money" else gpu, None if which == "gpu" else money
    )


BUDGETS = st.builds(
    _budget,
    st.sampled_from([Per.DAY, Per.DAY, Per.WEEK, Per.MONTH]),
    st.just(1),
    st.sampled_from(["", "", "*", "bob"]),
    LIMITS,
    GPU_SECONDS,
    MONEY,
) | st.builds(
    _budget,
    st.sampled_from([Per.HOURS, Per.DAYS]),
    st.integers(1, 5),
    st.sampled_from(["", "", "*"]),
    LIMITS,
    GPU_SECONDS,
    MONEY,
)
STEPS = st.sampled_from(
    ["ask"] * 5 + ["pass"] * 4 + ["end"] * 2 + ["late", "price", "turn", "fail", "leave"]
)
FAILURE = SeatEnd(Outcome.EXITED, 1, "")


def _wish(draw: st.DataObject, name: str) -> JobSpec:
    gpus = draw.draw(st.integers(1, 3))
    return JobSpec(
        name,
        ProjectId(draw.draw(st.sampled_from(["ml", "ml", "ops"]))),
        ("true",),
        resources=Resources(0, 0, 1000 * gpus),
        time_limit_seconds=draw.draw(st.sampled_from([60, 3_000, 50_000, 100_000, None])),
        estimate_seconds=draw.draw(st.sampled_from([None, 600, 10_000])),
        replicas=draw.draw(st.sampled_from([1, 1, 3])),
        min_replicas=draw.draw(st.none() | st.just(1)),
        retry=Retry(draw.draw(st.sampled_from([0, 2])), 1, 1),
    )


def _play(draw: st.DataObject, cell: Paying, steps: int) -> None:
    for _number in range(steps):
        running = [name for name in cell.in_phase(*PLACED) if not cell.job(name).stop_cause]
        match draw.draw(STEPS):
            case "ask":
                name = f"job-{len(cell.log)}"  # of its own, also in a second play
                cell.submit(name, _wish(draw, name), draw.draw(st.sampled_from(["ada", "bob"])))
            case "pass":
                cell.pass_time(draw.draw(st.sampled_from([1, 1_000, 10_000, 40_000])))
                cell.reach_limits()
                cell.check()
            case "late":
                cell.pass_time(draw.draw(st.sampled_from([7_000, 86_400, 40 * 86_400])))
                cell.check()
            case "turn":
                cell.turn()
                cell.check()
            case "price":
                rates = st.sampled_from([0, 1]) | st.integers(0, 50_000_000)
                model = GpuPrice("H100", draw.draw(rates))
                cell.price(PriceList("USD", 0, 0, draw.draw(rates), (model,)))
            case "end":
                for name in cell.in_phase(*PLACED)[: draw.draw(st.integers(1, 3))]:
                    stopping = cell.job(name).phase in (Phase.STOPPING, Phase.PREEMPTING)
                    cell.end(name, STOPPED if stopping else SUCCESS)
            case "fail":
                for name in running[: draw.draw(st.integers(1, 2))]:
                    cell.end(name, FAILURE)
                cell.retry()
            case "leave":
                for name in running[: draw.draw(st.integers(1, 2))]:
                    cell.preempt(name, None)
                    cell.pass_time(draw.draw(st.sampled_from([0, 1, 5])))
                cell.leave()
        if draw.draw(st.booleans()):
            cell.run()


def _two_projects(draw: st.DataObject) -> Paying:
    cell = stage(gpus=4)
    cell.node("m", 4, devices=h100s("m"))
    if draw.draw(st.booleans()):
        cell.price(PriceList("USD", 0, 0, 0))
    return cell


def _different(budgets: list[Budget]) -> list[Budget]:
    return list({(b.per, b.length, b.user): b for b in budgets}.values())


@given(data=st.data())
@settings(max_examples=60)
def test_no_budget_is_ever_exceeded(data: st.DataObject) -> None:
    """Looked at after every event, by a judge who counts from the events alone."""
    cell = _two_projects(data)
    for project, least in (("ml", 1), ("ops", 0)):
        budgets = _different(data.draw(st.lists(BUDGETS, min_size=least, max_size=4)))
        cell.limit(*budgets, project=project)
    _play(data, cell, data.draw(st.integers(10, 40)))


@given(data=st.data())
@settings(max_examples=40)
def test_the_scheduler_counts_as_the_judge_does(data: st.DataObject) -> None:
    """With no budget in the way; then for any, in each window that something reaches into.

    Also when it is read from what is kept.
    """
    cell = _two_projects(data)
    for project in ("ml", "ops"):
        if data.draw(st.booleans()):
            cell.limit(month(gpu_seconds=10**9, money_micro=10**15), project=project)
    budgets = cell.budgets
    for _ in range(2):
        cell.budgets = budgets
        _play(data, cell, data.draw(st.integers(5, 15)))
        cell.budgets = {"ml": ASKED, "ops": ASKED[:4]}
        _compare(cell, cell.snapshot)
    _compare(cell, unpack(pack(cell.snapshot)))


ASKED = tuple(
    Budget(per, length, user, gpu_seconds=1)
    for user in ("", "*")
    for per, length in (
        (Per.DAY, 1),
        (Per.HOURS, 1),
        (Per.DAYS, 2),
        (Per.MONTH, 1),
        (Per.WEEK, 1),
        (Per.HOURS, 5),
        (Per.DAYS, 5),
    )
)


def _compare(cell: Paying, snapshot: Snapshot) -> None:
    """What the scheduler counts in each window from now on is what the judge does."""
    kept = snapshot.budgets
    snapshot.budgets = {ProjectId(project): some for project, some in cell.budgets.items()}
    counting = Budgets(snapshot, cell.now)
    for account in cell.accounts():
        window = window_at(account.budget, cell.now)
        for _ in range(1 if account.budget.rolling else 3):
            found = counting.committed(account, window)
            whose = (account.project, account.budget, account.user)
            assert found == cell.judge.standing(*whose, cell.now, window)[1], (account, window)
            window = window_at(account.budget, window.until)
    snapshot.budgets = kept


@given(
    st.builds(Budget, st.sampled_from(Per), st.integers(1, 90), st.just(""), st.just(1)),
    st.integers(0, 4 * 10**15),
)
def test_windows_follow_each_other_without_a_gap(budget: Budget, at: int) -> None:
    window = window_at(budget, at)
    assert window.since <= at < window.until
    assert window_at(budget, window.until - 1) == window
    after = window_at(budget, window.until)
    assert after.until > window.until
    if budget.rolling:
        step = HOUR if budget.per is Per.HOURS else DAY
        assert after.since == window.since + step
        assert at - window.since >= budget.length * step
    else:
        assert after.since == window.until
        begin = datetime.fromtimestamp(window.since // SECOND, UTC)
        assert (begin.hour, begin.minute, begin.second) == (0, 0, 0)
        assert budget.per is not Per.MONTH or begin.day == 1
        assert budget.per is not Per.WEEK or begin.weekday() == 0
