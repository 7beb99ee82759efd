"""Fragments of a cell: what of its idle GPUs is of no use for what is asked for as a rule."""

from __future__ import annotations

from domain.allocation.events import Granted, Released
from domain.event import Recorded
from domain.node.events import NodeEvent
from domain.scheduling.rooms import factors_of
from domain.scheduling.score import Typical, fragments
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import NodeId


class Fragments:
    """Kept from event to event: only nodes that changed are looked at, all once demand changed.

    `free` are GPU thousandths idle on nodes that take work, `lost` what of them is fragment.
    """

    def __init__(self) -> None:
        self.free, self.lost = 0, 0.0
        self._each: dict[NodeId, tuple[int, float]] = {}
        self._typical: Typical = ()

    def see(self, snapshot: Snapshot, recorded: Recorded) -> None:
        """The snapshot has just taken in this event."""
        event = recorded.event
        if snapshot.arrivals.typical is not self._typical:
            self._typical = snapshot.arrivals.typical
            for node in snapshot.nodes:
                self._look(snapshot, node)
        elif isinstance(event, Granted | Released):
            for node in {seat.node for seat in event.seats}:
                self._look(snapshot, node)
        elif isinstance(event, NodeEvent):
            self._look(snapshot, NodeId(recorded.stream.partition("/")[2]))

    def _look(self, snapshot: Snapshot, node: NodeId) -> None:
        state = snapshot.nodes[node]
        free, lost = 0, 0.0
        if state.takes_work:
            free, lost = fragments(state.space(factors_of(snapshot)), self._typical)
        before = self._each.get(node, (0, 0.0))
        self.free += free - before[0]
        self.lost += lost - before[1]
        self._each[node] = free, lost
