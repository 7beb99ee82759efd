"""What is shown to be inherited is what the scheduler goes by, at every position of a log."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from domain.event import Meta, Recorded, StreamId
from domain.job import job as jobs
from domain.job.after import After, Condition
from domain.job.transitions import PLACED, Phase
from domain.project.events import InheritanceSet
from processors.projector import connect
from projections import waiters
from tests.domain.scheduling.stage import Stage
from tests.projections.histories import Portions
from tests.projections.tables import project_all

Standing = dict[str, tuple[int, int]]
"""Own priority and the one stood at, of jobs in the queue."""


def standing(stage: Stage) -> Standing:
    waiting = stage.in_phase(Phase.QUEUED)
    found = {name: (stage.job(name), stage.snapshot.inheritance) for name in waiting}
    return {str(name): (job.priority, rule.of(job).priority) for name, (job, rule) in found.items()}


def act(stage: Stage, random: Random, number: int) -> None:
    """One thing that people or agents may do, where it can be done."""
    name, live = f"job-{number:02}", sorted(stage.snapshot.jobs)
    waiting = stage.in_phase(Phase.QUEUED, Phase.BLOCKED)
    apart = stage.in_phase(Phase.SUSPENDED)
    running = stage.in_phase(*PLACED)
    do: list[Callable[[], object]] = [stage.run]
    priority = random.choice([0, 1, 3, 7, 200])
    after = tuple(
        After(each, random.choice(list(Condition)))
        for each in random.sample(live, min(len(live), random.randrange(4)))
    )
    hold = random.random() < 0.1
    do += [lambda: stage.ask(name, 1, priority=priority, after=after, hold=hold)] * 6
    if waiting:
        one = stage.job(random.choice(waiting))
        at = f"job/{one.id}"
        do.append(lambda: stage.record(at, jobs.set_priority(one, priority)))
        do.append(lambda: stage.record(at, jobs.suspend(one, stage.now)))
        do.append(lambda: stage.cancel(one.id))
    if apart:
        late = stage.job(random.choice(apart))
        do.append(lambda: stage.record(f"job/{late.id}", jobs.resume(late, stage.now)))
    if running:
        do.append(lambda: stage.end(running[0]))
    random.choice(do)()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_the_scheduler_goes_by(dsn: str, seed: int) -> None:
    random, most, stage = Random(seed), 100, Stage()
    stage.node("n", 1)
    stage.record("project/ml", [InheritanceSet(most)])
    seen: dict[int, Standing] = {}
    for number in range(80):
        act(stage, random, number)
        stage.conclude()
        seen[len(stage.log)] = standing(stage)
    log, versions = [], dict[str, int]()
    for position, (stream, event) in enumerate(stage.log, 1):
        version = versions[stream] = versions.get(stream, 0) + 1
        meta = Meta("test", "test", "test", "ml")
        log.append(Recorded(position, StreamId(stream), version, position, meta, None, event))
    project_all(dsn, Portions(log, [7, 1, 30]), [waiters.VIEW])
    higher = 0
    with connect(dsn) as connection:
        for position, expected in seen.items():
            claims = waiters.inherited(connection, sorted(expected), position)
            shown = {
                job: (own, max(own, min(most, claims.get(job, 0))))
                for job, (own, _) in expected.items()
            }
            assert shown == expected, position
            higher += sum(own < stands for own, stands in expected.values())
        last = seen[max(seen)]
        assert waiters.inherited(connection, sorted(last)) == waiters.inherited(
            connection, sorted(last), max(seen)
        )
    assert higher, "some inherited"
