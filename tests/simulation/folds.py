"""What must be true of the log as a whole when a world has come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.scheduling.snapshot import Snapshot
from domain.values.resources import NOTHING
from tests.replayed import replay
from tests.simulation.views import rebuilt

if TYPE_CHECKING:
    from tests.simulation.world import World


def check_receipts(world: World) -> None:
    """Every decision has one receipt, and comes out again from the log alone."""
    tally = replay(world.log.read)
    if tally.difference is not None:
        world.checker.fail("I11", f"cannot be decided anew: {tally.difference}")


def check_folds(world: World) -> None:
    """Read models are folds of the log, and in the end the snapshot holds nothing."""
    world.projector_until = 0
    world.views.step()
    events = world.log.read(0, 10**9)
    whole = rebuilt(events)
    for view, rows in world.views.rows.items():
        if rows != whole[view]:
            world.checker.fail("I8", f"the view {view} is not the fold of the log")
    snapshot = Snapshot()
    for event in events:
        snapshot.apply(event)
    waits, stands = snapshot.dependents, snapshot.inheritance
    kept = (snapshot.jobs, snapshot.allocations, snapshot.spending.held, waits.waits)
    if any((*kept, waits.waiters, waits.ready, stands.standing, stands.claims, stands.made)):
        world.checker.fail("I8", "the snapshot holds what has ended")
    if any(node.held for node in snapshot.nodes.values()):
        world.checker.fail("I8", "a node holds what has ended")
    for node, state in snapshot.nodes.items():
        if state.taken != NOTHING or any(left < 1000 for left in state.left.values()):
            world.checker.fail("I5", f"{node} is not free again: {state.taken}")
