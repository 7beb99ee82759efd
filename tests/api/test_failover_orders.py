"""After a failover: what was lost may still run elsewhere, so nothing starts until that is over."""

from __future__ import annotations

from infra.failover import fail_over, release
from tests.api.conftest import MakeWorld
from tests.api.node import Node


def actions(node: Node) -> dict[str, str]:
    """What the node is to do with each job."""
    return {order["job"]: order["action"] for order in node.orders()}


def test_orders_to_start_wait_until_what_was_lost_has_ended(new_world: MakeWorld) -> None:
    world = new_world()
    node = Node(world, gpus=2)
    node.register()
    running = node.run(world.project())["job"]
    one = {"resources": {"gpu": 1, "gpu_type": node.model}}
    fresh = world.submit(world.project(), **one)
    world.schedule()
    assert actions(node) == {running: "run", fresh: "run"}
    fail_over(world.dsn, ("scheduler", "timers"), known_head=None)
    assert actions(node) == {running: "run", fresh: "wait"}
    release(world.dsn)
    assert actions(node) == {running: "run", fresh: "run"}
