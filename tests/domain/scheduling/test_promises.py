"""Seats kept for a preemptor: what may still come between."""

from __future__ import annotations

from domain.project.events import Quota
from tests.domain.scheduling.stage import Stage


def test_of_a_promise_only_so_much_is_given_as_the_quota_allows_by_then() -> None:
    """An elastic gang was promised three seats; then its project has quota left for two."""
    cell = Stage()
    cell.policy(enable_gang_scheduling=True)
    cell.set_quota("ml", Quota(gpu_milli=3000))
    cell.node("n", 3)
    cell.ask("low", gpus=2, project="other")
    assert cell.run() == ["low"]
    cell.ask("wide", priority=5, replicas=3, min_replicas=2)
    assert cell.run() == []
    assert len(cell.snapshot.promised[cell.job("wide").id]) == 3
    cell.leave()
    cell.node("m", 1)
    cell.ask("top", priority=9)
    assert cell.run() == ["top", "wide"]
    assert [seat.rank for seat in cell.job("wide").seats] == [0, 1]
    assert cell.snapshot.used["ml", cell.job("wide").submitted_by].gpu_milli == 3000
