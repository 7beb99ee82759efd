"""What is held out is left out, whatever was kept from cycles before."""

from __future__ import annotations

from domain.event import StreamId
from domain.job.after import After
from domain.project.events import InheritanceSet
from domain.scheduling.holdout import hold_out
from domain.values.ids import JobId
from tests.domain.scheduling.stage import Stage


def test_a_node_that_cannot_be_read_takes_no_work_though_a_cycle_knew_it() -> None:
    stage = Stage()
    stage.node("a", gpus=2)
    stage.ask("large", gpus=3)
    assert stage.run() == []
    assert hold_out(stage.snapshot, StreamId("node/a"), 2)
    stage.ask("small")
    assert stage.run() == []


def test_nobody_stands_in_the_queue_for_a_waiter_that_cannot_be_read() -> None:
    """It may wait no more. And what comes later of who stood for it changes nothing."""
    stage = Stage()
    stage.node("a", gpus=1)
    stage.record("project/ml", [InheritanceSet(100)])
    stage.ask("other", priority=5)
    stage.ask("needed")
    stage.ask("waiter", priority=9, after=(After(JobId("needed")),))
    assert hold_out(stage.snapshot, StreamId("job/waiter"), 3)
    assert stage.snapshot.inheritance.of(stage.job("needed")).priority == 0
    assert stage.run() == ["other"]
    stage.end_all("other")
    assert stage.run() == ["needed"]
    stage.end_all("needed")
