"""A node's orders while read models are at different places of the log."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from api.agents import wire_order
from domain.event import Meta, Recorded, StreamId
from domain.job.spec import Checkpointing
from domain.values.ids import JobId
from processors.projector import connect
from projections import checkpoints, jobs, seats
from projections.tables import prepare
from projections.view import View
from tests.domain.scheduling.stage import Stage
from tests.projections.histories import Portions
from tests.projections.tables import drop, project_all


def moved() -> list[Recorded]:
    """A job that was asked to leave a node, saved, and is placed on it again."""
    stage = Stage()
    stage.node("n1", gpus=2)
    job = stage.ask("job", 2, checkpointing=Checkpointing(True, 60))
    stage.run()
    stage.ask("urgent", 2, priority=9)
    stage.decide()
    stage.save(job)
    stage.leave()
    stage.cancel(JobId("urgent"))
    stage.decide()
    return [
        Recorded(at, StreamId(stream), at, at, Meta("test", "test", "test", "ml"), None, event)
        for at, (stream, event) in enumerate(stage.log, start=1)
    ]


@pytest.mark.parametrize("behind", [jobs.VIEW, checkpoints.VIEW, None])
def test_no_seat_starts_before_the_views_know_how(dsn: str, behind: View[Any] | None) -> None:
    """Neither is it taken for the attempt before, nor does it begin without what was saved."""
    events = moved()
    views: list[View[Any]] = [seats.VIEW, jobs.VIEW, checkpoints.VIEW]
    asked = max(
        each.position for each in events if each.event.topic == "job.preemption_requested.v1"
    )
    with closing(connect(dsn)) as connection:
        drop(connection)
        prepare(connection)
        for view in views:
            known = events[:asked] if view is behind else events
            project_all(dsn, Portions(known), [view])
        [order] = seats.orders(connection, "n1", "boot-1")
        told = wire_order(order, held=False)
        assert told["attempt"] == 2
        assert told["action"] == ("run" if behind is None else "wait")
        for view in views:
            project_all(dsn, Portions(events), [view])
        [order] = seats.orders(connection, "n1", "boot-1")
        told = wire_order(order, held=False)
        assert (told["action"], told["seat"]["restore"]["digest"]) == ("run", "0" * 64)
