"""What queued jobs inherit, as it is shown beside their own priority."""

from __future__ import annotations

from collections.abc import Iterable

from api.cell import Connection
from projections import projects as project_view
from projections import waiters as waiter_view
from projections.jobs import JobRow
from projections.queue import QueueRow


def inherited(
    connection: Connection, rows: Iterable[QueueRow | JobRow], at: int | None
) -> dict[str, int]:
    """The priorities at which queued jobs stand, of those that stand higher than their own.

    `domain/scheduling/inherit.py` has the rule: at most what the project lets them inherit.
    """
    mine = {_name(row): row for row in rows}
    claims = waiter_view.inherited(connection, sorted(mine), at)
    names = sorted({mine[job].project for job in claims})
    found = project_view.find(connection, names, at) if names else []
    most = {project.id: project.state.max_inherited_priority for project in found}
    standing = {job: min(claim, most.get(mine[job].project, 0)) for job, claim in claims.items()}
    return {job: value for job, value in standing.items() if value > mine[job].priority}


def _name(row: QueueRow | JobRow) -> str:
    return row.job if isinstance(row, QueueRow) else row.id
