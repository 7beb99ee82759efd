"""Stages with reservations."""

from __future__ import annotations

from typing import Any

from domain.reservation import reservation as reservations
from domain.reservation.events import Terms
from domain.reservation.schedule import Schedule
from domain.scheduling.windows import Windows
from domain.values.ids import NodeId, ProjectId
from domain.values.time import SECOND
from tests.domain.scheduling.stage import Stage

ML = (ProjectId("ml"),)


class Reserved(Stage):
    """A stage whose reservations begin so many seconds from now."""

    board_from = 64

    def __init__(self) -> None:
        super().__init__()
        self.snapshot.board_from = self.board_from

    def reserve(self, name: str, after: int, seconds: int, *nodes: str, **more: Any) -> None:
        repeat = {key: more.pop(key) for key in ("every_seconds", "until") if key in more}
        schedule = Schedule(self.now + after * SECOND, seconds, **repeat)
        more.setdefault("maintenance", not (more.keys() & {"projects", "users", "jobs"}))
        terms = Terms(schedule, tuple(map(NodeId, nodes)), **more)
        known = self.snapshot.reservations.get(name)
        made = reservations.create(known, name, terms, self.now)
        self.record(f"reservation/{name}", made)

    def kept(self, name: str) -> set[str]:
        """The nodes that the reservation's next window keeps."""
        windows = Windows(self.snapshot, self.now)
        number = [one.name for one in windows.live].index(name)
        span = windows.live[number].terms.schedule.next_after(self.now)
        assert span is not None
        return {str(node) for node in windows.nodes(number, span)}


def stage(*nodes: str, gpus: int = 4) -> Reserved:
    found = Reserved()
    for name in nodes:
        found.node(name, gpus)
    return found
