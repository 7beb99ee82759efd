"""Everything that can have happened to an allocation."""

from __future__ import annotations

from dataclasses import dataclass

from domain.allocation.seat import Outcome, Seat
from domain.event import Event
from domain.values.ids import AllocationId, JobId, NodeId, ProjectId
from domain.values.money import Rates
from domain.values.resources import Resources


@dataclass(frozen=True)
class Terms:
    """What a grant under a budget may come to: charged at these rates, until then at most.

    `until` is in microseconds. The platform asks the job to end in good time before; should that
    take longer, it is at nobody's charge.
    """

    until: int
    rates: Rates


@dataclass(frozen=True)
class Granted(Event, name="allocation.granted.v1"):
    """These seats are the attempt's, each with `per_seat`, until released; charged from now.

    `boots` are the lease sessions of the seats' nodes, in seat order (as in `Registered.boot`):
    a later boot, or a later lease, never ran them.
    """

    allocation: AllocationId
    job: JobId
    attempt: int
    seats: tuple[Seat, ...]
    boots: tuple[str, ...]
    per_seat: Resources
    gpu_model: str
    user: str
    exclusive: bool = False  # nothing else runs on its nodes
    labels: tuple[tuple[str, str], ...] = ()  # of the job: others stay near to or away from it
    terms: Terms | None = None  # where a budget is charged
    payer: str = ""  # whose fair share it counts for: who it was placed for, if not its user


@dataclass(frozen=True)
class SeatStarted(Event, name="allocation.seat_started.v1"):
    """The agent runs the seat, by `runner` (docker, sandbox...)."""

    rank: int
    runner: str


@dataclass(frozen=True)
class SeatEnded(Event, name="allocation.seat_ended.v1"):
    """The agent saw the seat end."""

    rank: int
    outcome: Outcome
    exit_code: int | None
    detail: str


@dataclass(frozen=True)
class SeatLost(Event, name="allocation.seat_lost.v1"):
    """The seat's node was lost, so the seat is over."""

    rank: int
    node: NodeId


@dataclass(frozen=True)
class Released(Event, name="allocation.released.v1"):
    """Every seat ended: the resources are free; charged until now, or the end of its terms."""

    allocation: AllocationId
    job: JobId
    project: ProjectId
    seats: tuple[Seat, ...]
    per_seat: Resources


AllocationEvent = Granted | SeatStarted | SeatEnded | SeatLost | Released
"""Any event on an allocation's stream."""
