"""A seat: one member of a gang on one node, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.values.ids import DeviceId, NodeId


@dataclass(frozen=True)
class Seat:
    """Rank `rank` of the gang on `node`, holding these GPUs and no others."""

    rank: int
    node: NodeId
    devices: tuple[DeviceId, ...] = ()


class Outcome(StrEnum):
    """How a seat, or a whole attempt, ended."""

    EXITED = "exited"  # by itself, with an exit code
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"  # after it was asked to
    START_FAILED = "start_failed"  # never ran: image missing, no such program, no space
    LOST = "lost"  # its node or agent lost it: nobody knows how far it came
