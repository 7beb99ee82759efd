"""The cluster: queue, pools and nodes, and what operators do to nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api import shapes
from api.auth import Caller, requires
from api.body import ReasonBody
from api.command import Command
from api.jobs import IdempotencyKey
from api.moment import asks
from api.standing import inherited
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import NotFound
from domain.node import node as nodes
from domain.node.events import NodeEvent
from domain.node.node import Node, pool_of
from domain.policy.inventory import ExpectedNode, Mismatch, expected, mismatches, offer_of
from domain.scheduling.reason import WaitCode
from domain.values.ids import NodeId
from domain.values.resources import NOTHING, Resources
from domain.values.time import to_text
from infra.store import stream_of
from projections import inventory as inventory_view
from projections import jobs as job_view
from projections import nodes as node_view
from projections import queue as queue_view
from projections.nodes import Node as NodeFound

router = APIRouter(route_class=StrictRoute, tags=["cluster"])
Reader = Annotated[Caller, Depends(asks(Permission.READ_CLUSTER))]
Operator = Annotated[Caller, Depends(requires(Permission.OPERATE_NODES))]


class Waiting(BaseModel):
    """A job in the queue; `inherited_priority` where it stands higher for one that waits for it."""

    queue_position: int
    id: str
    name: str
    project_id: str
    user: str
    priority: int
    inherited_priority: int | None = None
    queued_since: str
    reason: shapes.Reason | None


class Queue(BaseModel):
    """Who waits; `by_reason` adds up to `total`, with jobs that are blocked by others."""

    items: list[Waiting]
    by_reason: dict[str, int]
    total: int


class Pool(BaseModel):
    name: str
    nodes: int
    alive: int
    gpu_models: list[str]
    capacity: shapes.Amount
    allocated: shapes.Amount
    free: shapes.Amount


class PoolList(BaseModel):
    items: list[Pool]


class NodeInstance(BaseModel):
    """A place for a MIG instance, and who holds it."""

    id: str
    profile: str
    start: int
    size: int
    job: str | None


class NodeDevice(BaseModel):
    """A GPU; one in MIG mode is held by its instances."""

    id: str
    model: str
    memory_bytes: int
    job: str | None
    mig: list[NodeInstance] = []


class NodeAnswer(BaseModel):
    """A node. `cluster` is set where the inventory expects it; then `mismatches` say how its offer
    differs from that, and one that never registered is `absent`."""

    id: str
    pool: str
    alive: bool
    cordoned: bool
    draining: bool
    cordon_reason: str
    cordoned_until: str | None
    capacity: shapes.Amount
    allocated: shapes.Amount
    free: shapes.Amount
    devices: list[NodeDevice]
    runners: list[str]
    labels: dict[str, str]
    rack: str
    agent_version: str
    jobs: list[str]
    cluster: str = ""
    absent: bool = False
    mismatches: list[Mismatch] = []


class NodeList(BaseModel):
    items: list[NodeAnswer]


class NodeChanged(BaseModel):
    id: str
    cordoned: bool
    draining: bool
    position: int


@router.get("/queue", response_model=Queue)
def get_queue(
    caller: Reader,
    project_id: Annotated[str | None, Query(max_length=63)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Queue:
    """Who waits in the projects the caller may see, in order, each with its reason."""
    projects = caller.visible()
    if project_id is not None:
        projects = [project_id] if projects is None or project_id in projects else []
    with caller.cell.connection() as connection:
        found = queue_view.find(connection, projects, limit, caller.at)
        higher = inherited(connection, (row for _, row in found), caller.at)
        counts = queue_view.by_reason(connection, projects, caller.at)
        if blocked := job_view.blocked(connection, projects, caller.at):
            counts[WaitCode.DEPENDENCY] = blocked
    items = [
        Waiting(
            queue_position=place,
            id=row.job,
            name=row.name,
            project_id=row.project,
            user=row.user,
            priority=row.priority,
            inherited_priority=higher.get(row.job),
            queued_since=to_text(row.queued_since),
            reason=shapes.reason(row.reason),
        )
        for place, row in found
    ]
    return Queue(items=items, by_reason=counts, total=sum(counts.values()))


def _free(capacity: Resources, allocated: Resources) -> Resources:
    """What is left; nothing where a node now offers less than is held."""
    return Resources(
        max(0, capacity.cpu_milli - allocated.cpu_milli),
        max(0, capacity.memory_bytes - allocated.memory_bytes),
        max(0, capacity.gpu_milli - allocated.gpu_milli),
    )


@router.get("/resources/pools", response_model=PoolList)
def pools(caller: Reader) -> PoolList:
    """Every pool: what its live nodes have, hold and have free."""
    with caller.cell.connection() as connection:
        found = node_view.pools(connection, caller.at)
    return PoolList(
        items=[
            Pool(
                name=pool.name,
                nodes=pool.nodes,
                alive=pool.alive,
                gpu_models=sorted(pool.gpu_models),
                capacity=shapes.amount(pool.capacity),
                allocated=shapes.amount(pool.allocated),
                free=shapes.amount(_free(pool.capacity, pool.allocated)),
            )
            for pool in found
        ]
    )


Expected = dict[NodeId, tuple[str, ExpectedNode]]


def _absent(cluster: str, node: ExpectedNode) -> NodeAnswer:
    """A node that the inventory expects and that never registered."""
    offer = offer_of(node)
    nothing = shapes.amount(NOTHING)
    return NodeAnswer(
        id=node.id,
        pool=pool_of(offer),
        alive=False,
        cordoned=False,
        draining=False,
        cordon_reason="",
        cordoned_until=None,
        capacity=shapes.amount(offer.capacity),
        allocated=nothing,
        free=nothing,
        devices=[],
        runners=[],
        labels={},
        rack="",
        agent_version="",
        jobs=[],
        cluster=cluster,
        absent=True,
    )


def _node(found: NodeFound, caller: Caller, wanted: Expected) -> NodeAnswer:
    """A node; job ids are shown to those who may see every project."""
    cluster, expects = wanted.get(NodeId(found.row.id), ("", None))
    row, offer, everything = found.row, found.row.offer, caller.visible() is None
    free = _free(offer.capacity, found.allocated) if row.alive and not row.cordoned else NOTHING
    return NodeAnswer(
        id=row.id,
        pool=row.pool,
        alive=row.alive,
        cordoned=row.cordoned,
        draining=row.draining,
        cordon_reason=row.cordon_reason,
        cordoned_until=None if row.cordoned_until is None else to_text(row.cordoned_until),
        capacity=shapes.amount(offer.capacity),
        allocated=shapes.amount(found.allocated),
        free=shapes.amount(free),
        devices=[
            NodeDevice(
                id=device.id,
                model=device.model,
                memory_bytes=device.memory_bytes,
                job=found.devices.get(device.id) if everything else None,
                mig=[
                    NodeInstance(
                        id=(name := slot.on(device.id)),
                        profile=slot.profile,
                        start=slot.start,
                        size=slot.size,
                        job=found.devices.get(name) if everything else None,
                    )
                    for slot in device.mig
                ],
            )
            for device in offer.devices
        ],
        runners=list(offer.runners),
        labels=dict(offer.labels),
        rack=offer.location.rack,
        agent_version=offer.agent_version,
        jobs=sorted(set(found.seats.values())) if everything else [],
        cluster=cluster,
        mismatches=[] if expects is None else list(mismatches(expects, offer)),
    )


@router.get("/nodes", response_model=NodeList)
def all_nodes(caller: Reader) -> NodeList:
    """Every node, and those that the inventory expects."""
    with caller.cell.connection() as connection:
        rows = node_view.find(connection, caller.at)
        wanted = expected(inventory_view.get(connection, caller.at))
    items = [_node(row, caller, wanted) for row in rows]
    known = {item.id for item in items}
    items += [_absent(*found) for name, found in wanted.items() if name not in known]
    return NodeList(items=sorted(items, key=lambda item: item.id))


@router.get("/nodes/{node}", response_model=NodeAnswer)
def one_node(node: str, caller: Reader) -> NodeAnswer:
    """One node."""
    with caller.cell.connection() as connection:
        row = node_view.get(connection, node, caller.at)
        wanted = expected(inventory_view.get(connection, caller.at))
    if row is not None:
        return _node(row, caller, wanted)
    if NodeId(node) not in wanted:
        raise NotFound("no_such_node", "there is no such node")
    return _absent(*wanted[NodeId(node)])


@router.post("/nodes/{node}/cordon", status_code=202, response_model=NodeChanged)
def cordon(node: str, body: ReasonBody, caller: Operator, key: IdempotencyKey) -> Response:
    """Let the node take no new work."""
    command = Command(caller, key, None, 202)
    return _change(command, node, lambda state: nodes.cordon(state, body.reason, drain=False))


@router.post("/nodes/{node}/drain", status_code=202, response_model=NodeChanged)
def drain(node: str, body: ReasonBody, caller: Operator, key: IdempotencyKey) -> Response:
    """Let the node take no new work and have its jobs save and move away."""
    command = Command(caller, key, None, 202)
    return _change(command, node, lambda state: nodes.cordon(state, body.reason, drain=True))


@router.post("/nodes/{node}/uncordon", status_code=202, response_model=NodeChanged)
def uncordon(node: str, caller: Operator, key: IdempotencyKey) -> Response:
    """Let the node take new work again."""
    return _change(Command(caller, key, None, 202), node, nodes.uncordon)


def _change(command: Command, node: str, decide: Callable[[Node], Sequence[NodeEvent]]) -> Response:
    def run(state: Node | None) -> Sequence[NodeEvent]:
        if state is None:
            raise NotFound("no_such_node", "there is no such node")
        return decide(state)

    def body(state: Node | None) -> dict[str, object]:
        assert state is not None
        return {"id": state.id, "cordoned": state.cordoned, "draining": state.draining}

    return command.execute(stream_of("node", node), nodes.evolve, None, run, body)
