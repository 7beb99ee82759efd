"""Policy: the scheduler's settings, the sharing tree and the prices in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from domain.event import Recorded
from domain.policy.events import PolicyEvent
from domain.policy.policy import Policy, evolve
from projections.view import Key, Reader, Row, View, kinds


class PolicyRow(Row, frozen=True, kw_only=True):
    """The cell's one policy, without the inventory: that has a view of its own, being long."""

    cell: str
    state: Policy


def _touches(recorded: Recorded) -> Iterable[Key]:
    return [("cell",)] if isinstance(recorded.event, PolicyEvent) else []


def _fold(row: PolicyRow | None, _key: Key, recorded: Recorded) -> PolicyRow:
    event: Any = recorded.event
    state = replace(evolve(row.state if row else Policy(), event), inventory=())
    return PolicyRow(position=recorded.position, cell="cell", state=state)


VIEW = View(
    name="policy",
    row=PolicyRow,
    key=("cell",),
    on=kinds(PolicyEvent),
    touches=_touches,
    fold=_fold,
)


def get(connection: Reader, at: int | None = None) -> Policy:
    """The policy in force, now or at a position."""
    record = connection.execute(f"SELECT * FROM {VIEW.at(at)} v".encode()).fetchone()
    return VIEW.read(record).state if record else Policy()
