"""Priority inheritance: at least one's own, at most the project's, gone with the waiter."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.allocation.events import Granted
from domain.job import job as jobs
from domain.job.after import After
from domain.job.transitions import PLACED, Phase
from domain.policy.events import Order
from domain.project.events import InheritanceSet
from domain.scheduling.inherit import Standing
from domain.scheduling.saved import pack, unpack
from domain.values.ids import JobId
from tests.domain.examples import spec
from tests.domain.scheduling.stage import Stage


def cell(most: int = 100, gpus: int = 1) -> Stage:
    stage = Stage()
    stage.node("n", gpus)
    stage.record("project/ml", [InheritanceSet(most)])
    return stage


def standing(stage: Stage, name: str) -> Standing:
    return stage.snapshot.inheritance.of(stage.job(name))


def test_a_job_goes_first_for_one_that_waits_for_it() -> None:
    stage = cell()
    stage.ask("other", 1, priority=5)
    stage.ask("needed", 1)
    stage.ask("waiter", 1, priority=9, after=(After(JobId("needed")),))
    assert standing(stage, "needed") == Standing(9, "ada")
    assert stage.run() == ["needed"]


def test_nothing_is_inherited_unless_the_project_lets_it() -> None:
    stage = cell(0)
    stage.ask("other", 1, priority=5)
    stage.ask("needed", 1)
    stage.ask("waiter", 1, priority=9, after=(After(JobId("needed")),))
    assert stage.run() == ["other"]


def test_no_more_is_inherited_than_the_project_lets() -> None:
    stage = cell(4)
    stage.ask("needed", 1)
    stage.ask("waiter", 1, priority=900, after=(After(JobId("needed")),))
    assert standing(stage, "needed").priority == 4
    stage.record("project/ml", [InheritanceSet(700)])
    assert standing(stage, "needed").priority == 700
    stage.record("project/ml", [InheritanceSet(0)])
    assert standing(stage, "needed").priority == 0


def test_it_goes_along_a_chain_and_ends_with_the_last_waiter() -> None:
    stage = cell()
    stage.ask("a", 1)
    stage.ask("b", 1, priority=2, after=(After(JobId("a")),))
    stage.ask("c", 1, priority=8, after=(After(JobId("b")),))
    assert [standing(stage, name).priority for name in "abc"] == [8, 8, 8]
    stage.record("job/c", jobs.set_priority(stage.job("c"), 50))
    assert standing(stage, "a").priority == 50
    stage.cancel(JobId("c"))
    assert [standing(stage, name).priority for name in "ab"] == [2, 2]
    stage.record("job/b", jobs.suspend(stage.job("b"), stage.now))
    assert standing(stage, "a").priority == 0


def test_it_lets_nobody_preempt() -> None:
    stage = cell()
    stage.ask("runs", 1, priority=1)
    stage.run()
    stage.ask("needed", 1)
    stage.ask("waiter", 1, priority=9, after=(After(JobId("needed")),))
    assert stage.decide().preemptions == []


def test_it_is_charged_to_who_waits() -> None:
    stage = cell(gpus=2)
    stage.policy(primary_policy=Order.FAIR_SHARE)
    asked = spec(name="needed", resources=spec().resources)
    stage.submit("needed", asked, "bob")
    stage.ask("waiter", 1, priority=9, after=(After(JobId("needed")),))
    assert standing(stage, "needed") == Standing(9, "ada")
    stage.run()
    [granted] = [event for _, event in stage.log if isinstance(event, Granted)]
    assert (granted.user, granted.payer) == ("bob", "ada")
    stage.pass_time(60)
    usage = stage.snapshot.usage.at(stage.now)
    assert usage["ml", "ada"][1] > 0
    assert usage["ml", "bob"] == (0, 0, 0)
    assert unpack(pack(stage.snapshot)).usage.at(stage.now) == usage
    stage.end(JobId("needed"))
    assert stage.snapshot.usage.by["ml", "ada"].rate == (0, 0, 0)


def _expected(stage: Stage, name: JobId, most: int) -> int:
    """By definition, from the jobs alone."""
    job = stage.job(name)
    above = [
        _expected(stage, waiter, most)
        for waiter in stage.in_phase(Phase.BLOCKED)
        if name in stage.snapshot.dependents.waits.get(waiter, {})
    ]
    own: int = job.priority
    return max(own, min(most, max(above, default=0)))


STEPS = st.sampled_from(["ask"] * 5 + ["run", "end", "cancel", "priority", "suspend", "most"])


@given(data=st.data())
@settings(max_examples=60)
def test_what_is_inherited_is_what_the_definition_says(data: st.DataObject) -> None:
    most = data.draw(st.sampled_from([0, 5, 100]))
    stage = cell(most, gpus=2)
    numbers = st.sampled_from([0, 1, 3, 7, 200])
    for number in range(data.draw(st.integers(2, 25))):
        live = sorted(stage.snapshot.jobs)
        waiting = stage.in_phase(Phase.QUEUED, Phase.BLOCKED)
        match data.draw(STEPS):
            case "ask":
                some = st.lists(st.sampled_from(live), max_size=3, unique=True)
                names = data.draw(some) if live else []
                user = data.draw(st.sampled_from(["ada", "bob"]))
                asked = spec(priority=data.draw(numbers), after=tuple(map(After, names)))
                stage.submit(f"job-{number:02}", asked, user)
            case "run":
                stage.run()
            case "end":
                for name in stage.in_phase(*PLACED)[:1]:
                    stage.end(name)
            case "cancel" if waiting:
                stage.cancel(data.draw(st.sampled_from(waiting)))
            case "priority" if waiting:
                name = data.draw(st.sampled_from(waiting))
                changed = jobs.set_priority(stage.job(name), data.draw(numbers))
                stage.record(f"job/{name}", changed)
            case "suspend" if waiting:
                name = data.draw(st.sampled_from(waiting))
                stage.record(f"job/{name}", jobs.suspend(stage.job(name), stage.now))
            case "most":
                most = data.draw(st.sampled_from([0, 5, 100]))
                stage.record("project/ml", [InheritanceSet(most)])
        stage.conclude()
        for name in stage.snapshot.jobs:
            found = standing(stage, name)
            own = stage.job(name).priority
            assert found.priority == _expected(stage, name, most)
            assert own <= found.priority <= max(own, most)
            if stage.job(name).phase is Phase.QUEUED:
                key = stage.snapshot.lines.of_job[name][0]
                assert (key.priority, key.user) == (found.priority, found.user)
        kept = unpack(pack(stage.snapshot))
        assert kept.inheritance == stage.snapshot.inheritance
        assert kept.lines.of_job == stage.snapshot.lines.of_job
