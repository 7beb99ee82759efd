"""Everything that can have happened to a reservation."""

from __future__ import annotations

from dataclasses import dataclass

from domain.event import Event
from domain.reservation.schedule import Schedule
from domain.values.ids import JobId, NodeId, ProjectId


@dataclass(frozen=True)
class Terms:
    """What is kept, when and for whom.

    Kept are the `nodes` named, or as many whole nodes as have `gpus` of the `gpu_type` (any, if
    empty) in the `pool` (any, if empty). Jobs of the projects and users named, and the jobs named,
    are admitted; in `maintenance` nobody is. A job whose length nobody knows is not started there
    from `notice_seconds` before a window on.
    """

    schedule: Schedule
    nodes: tuple[NodeId, ...] = ()
    gpus: int = 0
    gpu_type: str = ""
    pool: str = ""
    projects: tuple[ProjectId, ...] = ()
    users: tuple[str, ...] = ()
    jobs: tuple[JobId, ...] = ()
    maintenance: bool = False
    notice_seconds: int = 24 * 3600
    reason: str = ""


@dataclass(frozen=True)
class Created(Event, name="reservation.created.v1"):
    """Kept from now on, until it is over or cancelled."""

    reservation: str
    terms: Terms


@dataclass(frozen=True)
class Cancelled(Event, name="reservation.cancelled.v1"):
    """Nothing is kept any more; a window under way is over."""

    reason: str = ""


ReservationEvent = Created | Cancelled
"""Any event on a reservation's stream."""
