"""What is held out is left out, whatever was kept from cycles before."""

from __future__ import annotations

from domain.event import StreamId
from domain.scheduling.holdout import hold_out
from tests.domain.scheduling.stage import Stage


def test_a_node_that_cannot_be_read_takes_no_work_though_a_cycle_knew_it() -> None:
    stage = Stage()
    stage.node("a", gpus=2)
    stage.ask("large", gpus=3)
    assert stage.run() == []
    assert hold_out(stage.snapshot, StreamId("node/a"), 2)
    stage.ask("small")
    assert stage.run() == []
