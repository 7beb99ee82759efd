"""Windows that are over: what still depends on them, and by whose clock they are."""

from __future__ import annotations

from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.schedule import Schedule
from domain.values.ids import NodeId
from domain.values.time import DAY, SECOND
from tests.domain.scheduling.reserved import ML, stage


def test_an_amount_stands_by_its_nodes_when_a_window_beside_it_is_over() -> None:
    cell = stage("n1", "n2", "n3")
    cell.reserve("works", 100, 50, "n3")
    cell.reserve("course", 100, 1000, gpus=4, projects=ML)
    assert cell.kept("course") == {"n2"}
    cell.pass_time(200)
    assert cell.kept("course") == {"n2"}
    cell.reserve("other", 5000, 10, "n1")  # those that are over are forgotten then
    assert cell.kept("course") == {"n2"}
    assert set(cell.snapshot.reservations) == {"works", "course", "other"}
    cell.pass_time(2 * DAY // SECOND)
    cell.reserve("last", 5000, 10, "n1")
    assert set(cell.snapshot.reservations) == {"last"}


def test_a_window_is_kept_by_the_clock_that_decides() -> None:
    """Times of recording never fall: after the clock was set back, they are ahead of it."""
    cell = stage("n")
    back = 60 * SECOND
    schedule = Schedule(cell.now - back, 30)
    terms = Terms(schedule, (NodeId("n"),), maintenance=True)
    cell.record("reservation/works", reservations.create(None, "works", terms, cell.now - back))
    cell.now -= back
    assert cell.kept("works") == {"n"}
    cell.ask("job", estimate_seconds=10)
    assert cell.run() == []
