"""The reservation aggregate and its schedule; the model of a schedule is a list of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Conflict, Invalid
from domain.reservation import events as e
from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.reservation import Reservation
from domain.reservation.schedule import Schedule
from domain.values.ids import NodeId, ProjectId
from domain.values.time import HOUR, SECOND
from tests.domain.examples import NOW

ONCE = Schedule(NOW, 3600)
NODES = (NodeId("n1"),)
TERMS = Terms(ONCE, NODES, projects=(ProjectId("ml"),))


@given(
    st.integers(0, 20), st.integers(1, 6), st.integers(0, 9), st.integers(0, 80), st.integers(0, 60)
)
def test_spans_are_those_of_a_count_from_the_start(
    start: int, hours: int, more: int, begin: int, length: int
) -> None:
    every = hours + more
    schedule = Schedule(start * HOUR, hours * 3600, every * 3600, until=70 * HOUR)
    model = [(s * HOUR, (s + hours) * HOUR) for s in range(start, 70, every)]
    after = [span for span in model if span[1] > begin * HOUR]
    assert schedule.next_after(begin * HOUR) == (after[0] if after else None)
    end = (begin + length) * HOUR
    assert schedule.touching(begin * HOUR, end) == [span for span in after if span[0] < end]


def test_once_is_over_at_its_end() -> None:
    assert ONCE.next_after(0) == (NOW, NOW + HOUR)
    assert ONCE.next_after(NOW + HOUR - 1) == (NOW, NOW + HOUR)
    assert ONCE.next_after(NOW + HOUR) is None


def test_a_name_is_free_again_once_its_reservation_is_over_or_cancelled() -> None:
    [event] = reservations.create(None, "demo", TERMS, NOW)
    assert event == e.Created("demo", TERMS)
    made = reservations.evolve(None, event)
    with pytest.raises(Conflict, match="cancel it first"):
        reservations.create(made, "demo", TERMS, NOW)
    later = Terms(Schedule(NOW + 2 * HOUR, 60), NODES, maintenance=True)
    assert reservations.create(made, "demo", later, NOW + HOUR) == [e.Created("demo", later)]
    gone = reservations.evolve(made, reservations.cancel(made, NOW, "not needed")[0])
    assert reservations.create(gone, "demo", TERMS, NOW) == [event]
    for over in (gone, made):
        with pytest.raises(Conflict, match="is over already"):
            reservations.cancel(over, NOW + HOUR)


def terms(**changes: Any) -> Callable[[], object]:
    given_terms: dict[str, Any] = {"nodes": NODES, "projects": ("ml",)}
    return lambda: reservations.create(None, "demo", Terms(ONCE, **given_terms | changes), NOW)


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("start", lambda: Schedule(-1, 5)),
        ("start", lambda: Schedule(2**63, 5)),
        ("duration_seconds", lambda: Schedule(0, 0)),
        ("every_seconds", lambda: Schedule(0, 5, every_seconds=3599)),
        ("every_seconds", lambda: Schedule(0, 7200, every_seconds=3600)),
        ("until", lambda: Schedule(5, 5, until=5)),
        ("name", lambda: reservations.create(None, "No Name", TERMS, NOW)),
        ("start", lambda: reservations.create(None, "demo", TERMS, NOW + HOUR)),
        ("nodes", terms(nodes=())),
        ("nodes", terms(gpus=4)),
        ("nodes", terms(nodes=("n1", "n1"))),
        ("nodes", terms(nodes=(), gpus=1, projects=(), maintenance=True)),
        ("gpus", terms(gpus=-1)),
        ("gpu_type", terms(gpu_type="A100")),
        ("pool", terms(pool="a100")),
        ("projects", terms(projects=())),
        ("projects", terms(maintenance=True)),
        ("users", terms(users=("ada",), projects=(), maintenance=True)),
        ("jobs", terms(jobs=("job-1", "job-1"))),
        ("users", terms(users=tuple(map(str, range(10_001))))),
        ("notice_seconds", terms(notice_seconds=-1)),
    ],
)
def test_bad_ones_are_refused_by_field(field: str, make: Callable[[], object]) -> None:
    with pytest.raises(Invalid) as refused:
        make()
    assert refused.value.facts["field"] == field


def test_whoever_is_over_keeps_nothing() -> None:
    assert not Reservation("demo", TERMS).is_over(NOW + HOUR - SECOND)
    assert Reservation("demo", TERMS).is_over(NOW + HOUR)
    assert Reservation("demo", TERMS, cancelled=True).is_over(0)
