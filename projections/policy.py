"""Policy: the scheduler's settings and the prices in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from domain.event import Recorded
from domain.policy.events import PolicyEvent
from domain.policy.policy import Policy, evolve
from projections.view import Key, View


@dataclass(frozen=True)
class PolicyRow:
    """The cell's one policy."""

    cell: str
    state: Policy
    position: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    if isinstance(recorded.event, PolicyEvent):
        yield ("cell",)


def _fold(row: PolicyRow | None, _key: Key, recorded: Recorded) -> PolicyRow:
    event: Any = recorded.event
    return PolicyRow("cell", evolve(row.state if row else Policy(), event), recorded.position)


VIEW = View(name="policy", row=PolicyRow, key=("cell",), touches=_touches, fold=_fold)


def get(connection: Connection[dict[str, Any]]) -> Policy:
    """The policy in force."""
    record = connection.execute("SELECT * FROM view_policy").fetchone()
    return VIEW.read(record).state if record else Policy()
