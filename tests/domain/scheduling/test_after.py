"""Jobs that come after others: blocked, then queued or given up, by what the log says alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome
from domain.errors import Conflict, Invalid
from domain.job import events as e
from domain.job import job as jobs
from domain.job.after import After, Condition, End
from domain.job.events import CancelCause, QueuedCause
from domain.job.spec import JobSpec, Retry
from domain.job.transitions import ENDED, PLACED, Phase
from domain.scheduling.reason import WaitCode
from domain.scheduling.saved import pack, unpack
from domain.values.ids import JobId
from tests.domain.examples import JOB, NOW, spec
from tests.domain.scheduling.stage import Stage
from tests.scenario import Scenario

given = Scenario(jobs.evolve).given
FAILURE = SeatEnd(Outcome.EXITED, 1, "")
FIRST = JobId("first")
BLOCKED_SPEC = spec(after=(After(FIRST),))
SUBMITTED = e.Submitted(JOB, BLOCKED_SPEC, "ada")


def test_a_job_that_comes_after_another_is_blocked_and_says_so() -> None:
    assert jobs.submit(JOB, BLOCKED_SPEC, "ada", NOW) == [SUBMITTED, e.Blocked()]
    job = jobs.evolve(jobs.evolve(None, SUBMITTED), e.Blocked())
    assert job.waiting is not None
    assert job.waiting.code is WaitCode.DEPENDENCY
    assert job.waiting.text() == "It comes after first."


def test_one_that_failed_already_is_refused_by_field() -> None:
    with pytest.raises(Invalid, match="ended without success") as refused:
        jobs.submit(JOB, BLOCKED_SPEC, "ada", NOW, (End(FIRST, False),))
    assert refused.value.facts["field"] == "after.0.job"
    anyhow = spec(after=(After(FIRST, Condition.ANY),))
    assert jobs.submit(JOB, anyhow, "ada", NOW, (End(FIRST, False),))[1] == e.Blocked()


def test_a_job_is_named_once_and_not_too_many_are() -> None:
    with pytest.raises(Invalid) as refused:
        spec(after=(After(FIRST), After(FIRST, Condition.ANY)))
    assert refused.value.facts["field"] == "after.1.job"
    with pytest.raises(Invalid):
        spec(after=tuple(After(JobId(f"job-{n}")) for n in range(65)))


def test_commands_of_a_blocked_job() -> None:
    blocked = given(SUBMITTED, e.Blocked())
    queued = e.Queued(QueuedCause.UNBLOCKED, NOW, 0, "train", "ada")
    blocked.when(jobs.unblock, NOW).then(queued)
    blocked.when(jobs.give_up, FIRST).then(e.Cancelled(CancelCause.DEPENDENCY, FIRST))
    blocked.when(jobs.cancel, NOW).then(e.Cancelled())
    blocked.when(jobs.suspend, NOW).then(e.Suspended())
    given(SUBMITTED, e.Blocked(), e.Suspended()).when(jobs.resume, NOW).then(e.Blocked())
    given(SUBMITTED, e.Held()).when(jobs.resume, NOW).then(e.Blocked())
    blocked.when(jobs.resume, NOW).refused(Conflict, "wrong_phase")
    suspended = given(SUBMITTED, e.Blocked(), queued, e.Suspended())
    suspended.when(jobs.resume, NOW + 1).then(
        e.Queued(QueuedCause.RESUMED, NOW + 1, 0, "train", "ada")
    )


def cell() -> Stage:
    found = Stage()
    found.node("n", 8)
    return found


def chain(stage: Stage, **on: Condition) -> None:
    """`first`, and jobs after it by condition; one more after each of those."""
    stage.ask("first", 1)
    for name, condition in on.items():
        stage.ask(name, 1, after=(After(FIRST, condition),))
        stage.ask(f"{name}-2", 1, after=(After(JobId(name)),))


@pytest.mark.parametrize("end", [FAILURE, SeatEnd(Outcome.EXITED, 0, "")])
def test_who_needs_success_is_given_up_without_it_with_all_after_it(end: SeatEnd) -> None:
    stage = cell()
    chain(stage, ok=Condition.OK, anyhow=Condition.ANY)
    assert stage.run() == ["first"]
    assert stage.job("ok").phase is Phase.BLOCKED
    stage.end(FIRST, end)
    happy = end.exit_code == 0
    assert set(stage.run()) == ({"ok", "anyhow"} if happy else {"anyhow"})
    assert (JobId("ok-2") in stage.snapshot.jobs) == happy
    assert stage.job("anyhow-2").phase is Phase.BLOCKED


def test_a_retry_is_no_end() -> None:
    stage = cell()
    stage.ask("first", 1, retry=Retry(1))
    stage.ask("second", 1, after=(After(FIRST),))
    stage.run()
    stage.end(FIRST, FAILURE)
    assert stage.job("first").phase is Phase.HELD
    assert stage.job("second").phase is Phase.BLOCKED
    stage.now = stage.job("first").due_at
    stage.record("job/first", jobs.retry_due(stage.job("first"), stage.now))
    stage.run()
    stage.end(FIRST)
    assert stage.run() == ["second"]


def test_one_that_is_cancelled_while_it_waits_did_not_succeed() -> None:
    stage = cell()
    chain(stage, ok=Condition.OK)
    stage.cancel(FIRST)
    stage.conclude()
    assert not stage.snapshot.jobs


def test_one_that_is_requeued_in_time_is_waited_for_again() -> None:
    stage = cell()
    chain(stage, ok=Condition.OK)
    first = stage.job("first")
    stage.cancel(FIRST)
    again = jobs.requeue(jobs.evolve(first, e.Cancelled()), stage.now, stage.now)
    stage.record("job/first", again)
    stage.conclude()
    assert stage.job("ok").phase is Phase.BLOCKED
    stage.run()
    stage.end(FIRST)
    assert stage.run() == ["ok"]


def test_a_reopened_job_waits_only_for_those_that_are_to_run_again() -> None:
    stage = cell()
    chain(stage, ok=Condition.OK)
    job = stage.job("ok")
    stage.cancel(FIRST)
    stage.conclude()
    stage.record("job/ok", jobs.requeue(jobs.evolve(job, e.Cancelled()), stage.now, stage.now))
    assert stage.run() == ["ok"]


@pytest.mark.parametrize(("succeeded", "runs"), [(True, True), (False, False)])
def test_one_that_ends_between_the_look_and_the_record_is_known(
    succeeded: bool, runs: bool
) -> None:
    stage = cell()
    stage.ask("first", 1)
    stage.run()
    stage.end(FIRST, SeatEnd(Outcome.EXITED, 0 if succeeded else 1, ""))
    stage.ask("late", 1, after=(After(FIRST),))  # submitted as if it ran still
    assert (stage.run() == ["late"]) == runs


FATES = st.sampled_from(["run", "succeed", "fail", "cancel", "ask", "ask"])


@examples(data=st.data())
@settings(max_examples=60)
def test_nobody_starts_too_early_or_waits_for_nothing(data: st.DataObject) -> None:
    """By a judge who remembers every end; and what is kept decides the same."""
    stage, ends, specs = cell(), dict[JobId, bool](), dict[JobId, JobSpec]()

    def note() -> None:
        for name in specs.keys() - stage.snapshot.jobs.keys():
            ends.setdefault(name, False)

    for number in range(data.draw(st.integers(3, 20))):
        live = sorted(stage.snapshot.jobs)
        match data.draw(FATES):
            case "ask":
                some = st.lists(st.sampled_from(sorted(specs)), max_size=3, unique=True)
                names = data.draw(some) if specs else []
                after = tuple(After(n, data.draw(st.sampled_from(Condition))) for n in names)
                after = tuple(a for a in after if a.on is Condition.ANY or ends.get(a.job, True))
                name = JobId(f"job-{number}")
                known = tuple(End(a.job, ends[a.job]) for a in after if a.job in ends)
                specs[name] = spec(name=name, after=after)
                events: Any = jobs.submit(name, specs[name], "ada", stage.now, known)
                stage.record(f"job/{name}", events)
            case "run":
                for placed in stage.run():
                    for a in specs[JobId(placed)].after:
                        assert a.job in ends
                        assert ends[a.job] or a.on is Condition.ANY
            case "cancel" if live:
                name = data.draw(st.sampled_from(live))
                if stage.job(name).phase not in PLACED | ENDED:
                    stage.cancel(name)
            case "succeed" | "fail" as how:
                for name in stage.in_phase(*PLACED)[:1]:
                    ends[name] = how == "succeed"
                    stage.end(name, SeatEnd(Outcome.EXITED, 0 if ends[name] else 1, ""))
        note()
        stage.conclude()
        note()
        kept = unpack(pack(stage.snapshot)).dependents
        assert kept == stage.snapshot.dependents
        for name in stage.in_phase(Phase.BLOCKED):
            left = [a.job for a in specs[name].after if a.job not in ends]
            assert left, "nothing is left to wait for"
            assert kept.waits[name].keys() == set(left)
