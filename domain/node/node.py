"""The node aggregate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import assert_never

from domain.errors import Conflict, Invalid
from domain.node import events as e
from domain.node.events import NodeEvent
from domain.node.flapping import Others, held_until
from domain.values.ids import NodeId
from domain.values.mig import check_slots


@dataclass(frozen=True)
class Node:
    """A node as its events left it; `offer` is its last registration."""

    id: NodeId
    offer: e.Registered
    alive: bool = True
    cordoned: bool = False
    draining: bool = False
    cordon_reason: str = ""
    cordoned_until: int | None = None


def evolve(node: Node | None, event: NodeEvent) -> Node:
    """The node after the event."""
    if isinstance(event, e.Registered):
        if node is None:
            return Node(event.node, event)
        return replace(node, offer=event, alive=True)
    assert node is not None, "a node's first event is node.registered"
    match event:
        case e.Lost():
            return replace(node, alive=False)
        case e.Cordoned(reason=reason, drain=drain, until=until):
            return replace(
                node,
                cordoned=True,
                draining=drain,
                cordon_reason=reason,
                cordoned_until=until,
            )
        case e.Uncordoned():
            return replace(
                node, cordoned=False, draining=False, cordon_reason="", cordoned_until=None
            )
        case _:
            assert_never(event)


def pool_of(offer: e.Registered) -> str:
    """The pool a node says it is in, else that of its GPU model, else `cpu`."""
    if offer.pool:
        return offer.pool
    models = Counter(device.model for device in offer.devices)
    return models.most_common(1)[0][0].lower() if models else "cpu"


def register(node: Node | None, offer: e.Registered) -> list[NodeEvent]:
    """Offer the node's capacity; nothing happens when that is already known."""
    offer.capacity.check_one("capacity")
    if offer.capacity.gpu_milli != 1000 * len(offer.devices):
        raise Invalid("bad_devices", "devices: list each GPU of the capacity", field="devices")
    if len({device.id for device in offer.devices}) != len(offer.devices):
        raise Invalid("bad_devices", "devices: ids must differ", field="devices")
    for number, device in enumerate(offer.devices):
        check_slots(f"devices[{number}].mig", device.model, device.mig)
    if not offer.runners:
        raise Invalid("no_runner", "runners: name at least one", field="runners")
    return [] if node is not None and node.alive and node.offer == offer else [offer]


def lose(node: Node, session: str) -> list[NodeEvent]:
    """The lease of this session ran out."""
    return [e.Lost(node.id, session)] if node.alive and node.offer.boot == session else []


def hold_off(node: Node, losses: int, others: Others, now: int) -> list[NodeEvent]:
    """It was lost so often within an hour: cordoned for a while, if it flaps.

    Not where somebody cordoned it for good.
    """
    until = held_until(losses, others, now)
    if until is None or (node.cordoned and node.cordoned_until is None):
        return []
    return [e.Cordoned(f"lost {losses} times within an hour", until=until)]


def end_cordon(node: Node, now: int) -> list[NodeEvent]:
    """The time is over for which it was cordoned."""
    over = node.cordoned_until is not None and node.cordoned_until <= now
    return [e.Uncordoned()] if over else []


def cordon(node: Node, reason: str, drain: bool) -> list[NodeEvent]:
    """Take no new work; with `drain`, move away what runs there."""
    if node.cordoned and node.draining == drain and node.cordoned_until is None:
        raise Conflict("already_cordoned", f"node {node.id} is already cordoned")
    return [e.Cordoned(reason, drain)]


def uncordon(node: Node) -> list[NodeEvent]:
    """Take new work again."""
    if not node.cordoned:
        raise Conflict("not_cordoned", f"node {node.id} is not cordoned")
    return [e.Uncordoned()]
