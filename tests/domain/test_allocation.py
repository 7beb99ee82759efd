"""Allocation: one attempt's seats, from grant to release."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.allocation import allocation as allocations
from domain.allocation import events as e
from domain.allocation.allocation import SeatEnd
from domain.allocation.seat import Outcome, Seat
from domain.errors import Conflict, NotFound, StaleWriter
from domain.event import Event
from domain.values.ids import NodeId, ProjectId
from domain.values.resources import Resources
from tests.domain import examples as x
from tests.scenario import Given, Scenario

PER_SEAT = Resources(1000, x.GIB, 1000)
ML = ProjectId("ml")
NODE = NodeId("node-0")
DONE = SeatEnd(Outcome.EXITED, 0, "")
CRASHED = SeatEnd(Outcome.EXITED, 1, "boom")
STOPPED = SeatEnd(Outcome.STOPPED, None, "")


def granted(count: int = 1) -> e.Granted:
    """A gang, each seat on a node of its own in its first boot."""
    boots = ("boot-1",) * count
    return e.Granted(x.ALLOCATION, x.JOB, 1, x.seats(count), boots, PER_SEAT, "A100", "ada")


def gang(count: int = 1, *events: Event) -> Given:
    """A gang to which these things happened."""
    return Scenario(allocations.evolve).given(granted(count), *events)


def ended(rank: int, end: SeatEnd) -> e.SeatEnded:
    """A seat ended."""
    return e.SeatEnded(rank, end.outcome, end.exit_code, end.detail)


def test_a_grant_names_every_seat_with_the_boot_of_its_node() -> None:
    arguments: dict[str, Any] = {"gpu_model": "A100", "user": "ada"}
    two = allocations.grant(
        x.ALLOCATION, x.JOB, 1, x.seats(2), ("boot-1",) * 2, PER_SEAT, **arguments
    )
    assert two == [granted(2)]
    for seats, boots in [
        (x.seats(2), ("boot-1",)),
        ((Seat(1, NODE),), ("boot-1",)),
        ((Seat(0, NODE), Seat(0, NODE)), ("boot-1",) * 2),
    ]:
        with pytest.raises(Conflict):
            allocations.grant(x.ALLOCATION, x.JOB, 1, seats, boots, PER_SEAT, **arguments)


def test_a_start_is_recorded_once() -> None:
    started = e.SeatStarted(0, "docker")
    after = gang().when(allocations.seat_started, 0, NODE, "boot-1", "docker").then(started)
    assert after.all_started
    gang(1, started).when(allocations.seat_started, 0, NODE, "boot-1", "docker").then()
    gang(1, ended(0, DONE)).when(allocations.seat_started, 0, NODE, "boot-1", "docker").then()


def test_an_end_is_recorded_once_and_the_first_counts() -> None:
    after = gang().when(allocations.seat_ended, 0, NODE, "boot-1", DONE).then(ended(0, DONE))
    assert after.end_of(0) == DONE
    gang(1, ended(0, DONE)).when(allocations.seat_ended, 0, NODE, "boot-1", CRASHED).then()
    lost = e.SeatLost(0, NODE)
    gang(1, lost).when(allocations.seat_ended, 0, NODE, "boot-1", DONE).then()


@pytest.mark.parametrize(
    ("rank", "node", "boot", "kind", "code"),
    [
        (1, "node-0", "boot-1", NotFound, "no_such_seat"),
        (-1, "node-0", "boot-1", NotFound, "no_such_seat"),
        (0, "node-1", "boot-1", NotFound, "no_such_seat"),
        (0, "node-0", "boot-2", StaleWriter, "stale_boot"),
    ],
)
def test_a_report_about_another_seat_is_refused(
    rank: int, node: str, boot: str, kind: Any, code: str
) -> None:
    where = (rank, NodeId(node), boot)
    gang().when(allocations.seat_started, *where, "docker").refused(kind, code)
    gang().when(allocations.seat_ended, *where, DONE).refused(kind, code)


def test_a_seat_is_lost_once_and_not_after_its_end() -> None:
    lost = e.SeatLost(0, NODE)
    after = gang().when(allocations.lose_seat, 0).then(lost)
    assert after.end_of(0) == SeatEnd(Outcome.LOST, None, "node node-0 was lost")
    gang(1, lost).when(allocations.lose_seat, 0).then()
    gang(1, ended(0, DONE)).when(allocations.lose_seat, 0).then()


def test_a_gang_is_released_whole_and_once() -> None:
    first, second = ended(0, DONE), ended(1, CRASHED)
    released = e.Released(x.ALLOCATION, x.JOB, ML, x.seats(2), PER_SEAT)
    gang(2, first).when(allocations.release, ML).refused(Conflict, "seats_running")
    assert gang(2, first, second).when(allocations.release, ML).then(released).released
    gang(2, first, second, released).when(allocations.release, ML).then()


LOST = SeatEnd(Outcome.LOST, None, "")
OUT_OF_MEMORY = SeatEnd(Outcome.OUT_OF_MEMORY, 137, "")


@pytest.mark.parametrize(
    ("ends", "deciding"),
    [
        ([], None),
        ([DONE], DONE),
        ([DONE, CRASHED, DONE], CRASHED),
        ([DONE, OUT_OF_MEMORY, CRASHED], OUT_OF_MEMORY),
        ([STOPPED, CRASHED], CRASHED),  # the crash came later but was not asked for
        ([STOPPED, LOST], LOST),
        ([DONE, STOPPED], STOPPED),  # a gang is only done when all of it is
        ([CRASHED, STOPPED, LOST], CRASHED),
    ],
)
def test_what_decides_the_end_of_a_gang(ends: list[SeatEnd], deciding: SeatEnd | None) -> None:
    state = gang(3, *(ended(rank, end) for rank, end in enumerate(ends))).state
    assert state.deciding_end == deciding


@for_all(st.permutations([(0, DONE), (1, DONE), (2, CRASHED)]))
def test_a_single_crash_decides_in_whatever_order_seats_end(
    order: list[tuple[int, SeatEnd]],
) -> None:
    state = gang(3, *(ended(rank, end) for rank, end in order)).state
    assert state.deciding_end == CRASHED
    assert state.all_ended
