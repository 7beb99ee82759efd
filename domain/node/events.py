"""Everything that can have happened to a node. Heartbeats and placements are not here."""

from __future__ import annotations

from dataclasses import dataclass

from domain.event import Event
from domain.values.ids import NodeId
from domain.values.resources import Resources
from domain.values.topology import Device, Location


@dataclass(frozen=True)
class Registered(Event, name="node.registered.v1"):
    """The node's agent offers this capacity; `boot` changes whenever the machine restarts
    and whenever its lease was lost: what ran before is over.

    `runners` are the ways it can run a seat (docker, sandbox...). Said again when anything
    changed and when the node comes back after it was lost.
    """

    node: NodeId
    boot: str
    capacity: Resources
    devices: tuple[Device, ...] = ()
    runners: tuple[str, ...] = ()
    pool: str = ""
    location: Location = Location()
    labels: tuple[tuple[str, str], ...] = ()
    agent_version: str = ""
    taints: tuple[str, ...] = ()  # only jobs that tolerate each of them run here


@dataclass(frozen=True)
class Lost(Event, name="node.lost.v1"):
    """Its lease ran out: what it ran is over, by its own clock."""

    node: NodeId
    boot: str


@dataclass(frozen=True)
class Cordoned(Event, name="node.cordoned.v1"):
    """Takes no new work; with `drain` what runs there is moved away.

    `until` (microseconds): then it ends by itself, as for a node that flaps.
    """

    reason: str
    drain: bool = False
    until: int | None = None


@dataclass(frozen=True)
class Uncordoned(Event, name="node.uncordoned.v1"):
    """Takes new work again."""


NodeEvent = Registered | Lost | Cordoned | Uncordoned
"""Any event on a node's stream."""
