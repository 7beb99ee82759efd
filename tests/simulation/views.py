"""Read models in memory, by the product's own folds, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from domain.allocation.events import Granted
from domain.event import Recorded
from domain.node.flapping import Others
from domain.policy.policy import Policy
from processors.stream import EventStream
from projections import checkpoints, jobs, nodes, policy, seats
from projections.fold import fold_event
from projections.jobs import Due
from projections.seats import Order
from projections.view import Key, View

VIEWS: tuple[View[Any], ...] = (
    jobs.VIEW,
    seats.VIEW,
    checkpoints.VIEW,
    policy.VIEW,
    nodes.VIEW,
)
Rows = dict[str, dict[Key, Any]]


def rebuilt(events: Iterable[Recorded]) -> Rows:
    """Every view from the first event on."""
    rows: Rows = {view.name: {} for view in VIEWS}
    for event in events:
        for view in VIEWS:
            fold_event(view, rows[view.name], list(view.touches(event)), event, [])
    return rows


@dataclass(frozen=True)
class ViewsCopy:
    """What a standby has of the views."""

    position: int
    rows: Rows
    due: set[Key]


class LiveViews:
    """The views as far as the projector has come; `changed` is told the nodes concerned."""

    def __init__(self, stream: EventStream, changed: Callable[[set[str]], None]) -> None:
        self._stream = stream
        self._changed = changed
        self.position = 0
        self.rows: Rows = {view.name: {} for view in VIEWS}
        self._due: set[Key] = set()

    def step(self) -> None:
        """Project everything there is."""
        batch = self._stream.read(self.position, 1000)
        concerned: set[str] = set()
        for event in batch:
            for view in VIEWS:
                keys = list(view.touches(event))
                fold_event(view, self.rows[view.name], keys, event, [])
                if view is jobs.VIEW:
                    self._note_due(keys, concerned)
            self.position = event.position
            concerned |= self._nodes_of(event)
        if concerned:
            self._changed(concerned)

    def _note_due(self, keys: list[Key], concerned: set[str]) -> None:
        for key in keys:
            row = self.rows["jobs"][key]
            concerned |= {seat.node for seat in row.state.seats}
            if row.due_at is None and row.stop_deadline is None and row.limit_at is None:
                self._due.discard(key)
            else:
                self._due.add(key)

    def _nodes_of(self, event: Recorded) -> set[str]:
        if isinstance(event.event, Granted):
            return {str(seat.node) for seat in event.event.seats}
        touched = (self.rows["seats"].get(key) for key in seats.VIEW.touches(event))
        return {row.node for row in touched if row is not None}

    def due(self, now: int) -> Due:
        """The query of `projections.jobs.due`."""

        def ids(column: str) -> list[str]:
            rows = [self.rows["jobs"][key] for key in self._due]
            found = [(at, row.id) for row in rows if (at := getattr(row, column)) is not None]
            return [job for at, job in sorted(found) if at <= now]

        return Due(ids("due_at"), ids("stop_deadline"), ids("limit_at"))

    def next_due(self) -> int | None:
        """When the next job is due, as far as the views have come."""
        rows = [self.rows["jobs"][key] for key in self._due]
        moments = (at for r in rows for at in (r.due_at, r.stop_deadline, r.limit_at))
        return min((at for at in moments if at is not None), default=None)

    def cordons_over(self, now: int) -> list[str]:
        """The query of `projections.nodes.cordons_over`."""
        return sorted(
            row.id
            for row in self.rows["nodes"].values()
            if row.cordoned_until is not None and row.cordoned_until <= now
        )

    def next_uncordon(self) -> int | None:
        """When the next cordon ends by itself, as far as the views have come."""
        ends = (row.cordoned_until for row in self.rows["nodes"].values())
        return min((at for at in ends if at is not None), default=None)

    def others(self, node: str) -> Others:
        """The query of `projections.nodes.others`."""
        rows = [row for row in self.rows["nodes"].values() if row.id != node]
        ready = sum(row.alive and not row.cordoned for row in rows)
        return Others(len(rows), ready, sum(row.cordoned_until is not None for row in rows))

    def copy(self) -> ViewsCopy:
        """What a standby has that got everything so far."""
        rows = {view: dict(rows) for view, rows in self.rows.items()}
        return ViewsCopy(self.position, rows, set(self._due))

    def fail_over(self, standby: ViewsCopy) -> None:
        """Go on with what the standby has."""
        self.position, self.rows, self._due = standby.position, standby.rows, standby.due

    def grace_seconds(self) -> int:
        """The policy's grace."""
        row = self.rows["policy"].get(("cell",))
        return (row.state if row else Policy()).scheduler.grace_seconds

    def orders(self, node: str, session: str | None) -> list[Order]:
        """The query of `projections.seats.orders`; a session of None stands for any."""
        found = []
        for key, row in sorted(self.rows["seats"].items()):
            job = self.rows["jobs"].get((row.job,))
            mine = row.node == node and session in (None, row.session)
            if mine and not row.ended and job is not None:
                found.append(Order(row, job.state, self._newest(row.job, int(key[1]))))
        return found

    def _newest(self, job: str, rank: int) -> str | None:
        rows = self.rows["checkpoints"].values()
        saved = [(row.number, row.digest) for row in rows if (row.job, row.rank) == (job, rank)]
        return max(saved)[1] if saved else None
