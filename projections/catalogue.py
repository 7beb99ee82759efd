"""Every read model, in one list: add a new one here."""

from __future__ import annotations

from typing import Any

from projections import (
    checkpoints,
    cost,
    inventory,
    jobs,
    nodes,
    policy,
    projects,
    queue,
    quota,
    reservations,
    seats,
    tokens,
    usage,
    waiters,
)
from projections.view import View

VIEWS: tuple[View[Any], ...] = (
    jobs.VIEW,
    queue.VIEW,
    nodes.VIEW,
    seats.VIEW,
    checkpoints.VIEW,
    usage.VIEW,
    cost.VIEW,
    quota.VIEW,
    projects.VIEW,
    tokens.VIEW,
    policy.VIEW,
    reservations.VIEW,
    inventory.VIEW,
    waiters.VIEW,
)
HEAVY = (jobs.VIEW.name,)
"""As much work as all others together."""
