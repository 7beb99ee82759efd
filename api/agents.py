"""The agent protocol (docs/agent-protocol.md): leases, orders, facts, logs, samples."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt, StrictStr
from starlette.concurrency import run_in_threadpool

from api.auth import Caller, requires
from api.body import Body, Name
from api.facts import Fact, FactResult, record_facts
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Denied, Invalid, NotFound, StaleWriter
from domain.event import Meta
from domain.job.transitions import Phase
from domain.node import node as nodes
from domain.node.events import Registered
from domain.values.ids import DeviceId, NodeId, check_name
from domain.values.mig import SLICES, Slot
from domain.values.quantity import LARGEST
from domain.values.resources import Resources
from domain.values.topology import Device, Location, model_of
from infra import joblogs, leases
from infra.failover import holds
from infra.recorder import Session
from infra.store import stream_of
from projections import seats as seat_view
from projections.seats import Order

router = APIRouter(route_class=StrictRoute, prefix="/agent", tags=["agent protocol"])
Agent = Annotated[Caller, Depends(requires(Permission.ACT_AS_NODE))]
Amount = Annotated[StrictInt, Field(ge=0, le=LARGEST)]
Boot = Annotated[StrictStr, Field(min_length=1, max_length=128)]
MAX_WAIT_MS = 10_000


class CapacityBody(Body):
    cpu_milli: Amount
    memory_bytes: Amount
    storage_bytes: Amount = 0
    network_mbps: Amount = 0


class SlotBody(Body):
    """A place for a MIG instance: profile, first memory slice, memory slices."""

    profile: Annotated[StrictStr, Field(max_length=32)]
    start: Annotated[StrictInt, Field(ge=0, lt=SLICES)]
    size: Annotated[StrictInt, Field(ge=1, le=SLICES)]


class DeviceBody(Body):
    id: Annotated[StrictStr, Field(min_length=1, max_length=128)]
    model: Annotated[StrictStr, Field(min_length=1, max_length=128)]
    memory_bytes: Amount
    island: Annotated[StrictStr, Field(max_length=63)] = ""
    numa: Annotated[StrictInt, Field(ge=0, le=1024)] = 0
    mig: Annotated[list[SlotBody], Field(max_length=64)] = []

    def value(self) -> Device:
        """The GPU as the domain knows it."""
        slots = tuple(Slot(slot.profile, slot.start, slot.size) for slot in self.mig)
        model = model_of(self.model)
        return Device(DeviceId(self.id), model, self.memory_bytes, self.island, self.numa, slots)


class RegisterBody(Body):
    """What a node offers."""

    node: Name
    boot: Boot
    capacity: CapacityBody
    devices: Annotated[list[DeviceBody], Field(max_length=256)] = []
    runners: Annotated[list[Literal["docker", "sandbox", "process"]], Field(min_length=1)]
    pool: Annotated[StrictStr, Field(max_length=63)] = ""
    rack: Annotated[StrictStr, Field(max_length=63)] = ""
    spine: Annotated[StrictStr, Field(max_length=63)] = ""
    taints: Annotated[list[Name], Field(max_length=32)] = []
    labels: dict[Name, Annotated[StrictStr, Field(max_length=256)]] = {}
    agent_version: Annotated[StrictStr, Field(max_length=63)] = ""

    def offer(self) -> Registered:
        """The offer as the domain knows it."""
        devices = tuple(device.value() for device in self.devices)
        return Registered(
            node=NodeId(check_name("node", self.node)),
            boot=self.boot,
            capacity=Resources(
                self.capacity.cpu_milli,
                self.capacity.memory_bytes,
                len(devices) * 1000,
                self.capacity.storage_bytes,
                self.capacity.network_mbps,
            ),
            devices=devices,
            runners=tuple(dict.fromkeys(self.runners)),
            pool=self.pool,
            location=Location(self.rack, self.spine),
            labels=tuple(sorted(self.labels.items())),
            agent_version=self.agent_version,
            taints=tuple(dict.fromkeys(self.taints)),
        )


class LeaseBody(Body):
    node: Name
    boot: Boot
    nonce: Annotated[StrictStr, Field(max_length=64)]
    seen: Annotated[StrictStr, Field(max_length=64)] = ""
    wait_ms: Annotated[StrictInt, Field(ge=0, le=MAX_WAIT_MS)] = 0


class Lease(BaseModel):
    nonce: str
    ttl_ms: int


class Registration(BaseModel):
    lease: Lease
    now_us: int


class Orders(BaseModel):
    lease: Lease
    now_us: int
    seen: str
    orders: list[dict[str, Any]]


class FactsBody(Body):
    node: Name
    boot: Boot
    facts: Annotated[list[Fact], Field(max_length=1000)]


class FactsAnswer(BaseModel):
    results: list[FactResult]


class Kept(BaseModel):
    size: int
    full: bool


class GpuSample(Body):
    device: Annotated[StrictStr, Field(max_length=128)]
    util_percent: Annotated[StrictInt, Field(ge=0, le=100)] | None = None
    memory_bytes: Amount | None = None


class SampleBody(Body):
    allocation: Annotated[StrictStr, Field(max_length=128)]
    rank: Annotated[StrictInt, Field(ge=0, lt=2**31)]
    cpu_milli: Amount
    memory_bytes: Amount
    gpus: Annotated[list[GpuSample], Field(max_length=256)] = []


class SamplesBody(Body):
    node: Name
    boot: Boot
    samples: Annotated[list[SampleBody], Field(max_length=1000)]


def _own_node(caller: Caller, node: str) -> None:
    bound = caller.principal.node
    if bound is not None and bound != node:
        raise Denied("wrong_node", f"this token acts for node {bound} only")


@router.post("/register", response_model=Registration)
def register(body: RegisterBody, caller: Agent) -> Registration:
    """Offer a node's capacity and begin its lease."""
    _own_node(caller, body.node)
    offer, cell = body.offer(), caller.cell
    stream = stream_of("node", offer.node)
    nodes.register(None, offer)  # refuse nonsense before the lease is taken
    nonce, ttl = secrets.token_urlsafe(16), cell.settings.lease_ttl_ms
    with cell.connection() as connection:
        session = leases.take(connection, offer.node, offer.boot, nonce, ttl)
    offer = replace(offer, boot=session)
    meta = Meta(caller.principal.name, f"command:{caller.request_id}", offer.node)
    _, recorded = cell.store.execute(
        stream,
        nodes.evolve,
        None,
        lambda state: nodes.register(state, offer),
        meta,
        session=Session(offer.node, nonce),
    )
    if recorded:
        cell.wait_for(recorded[-1].position)
    return Registration(lease=Lease(nonce=nonce, ttl_ms=ttl), now_us=cell.store.now())


@router.post("/lease", response_model=Orders)
async def lease(body: LeaseBody, caller: Agent) -> Orders:
    """Renew the lease and give the node's orders; waits while they are as `seen`."""
    _own_node(caller, body.node)
    cell, deadline = caller.cell, time.monotonic() + body.wait_ms / 1000
    nonce, ttl = secrets.token_urlsafe(16), cell.settings.lease_ttl_ms

    def renew() -> str:
        with cell.connection() as connection:
            return leases.renew(connection, body.node, body.boot, body.nonce, nonce, ttl)

    def look() -> list[dict[str, Any]]:
        with cell.connection() as connection:
            held = holds(connection)
            orders = seat_view.orders(connection, body.node, session)
            return [wire_order(order, held) for order in orders]

    session = await run_in_threadpool(renew)
    while True:
        orders = await run_in_threadpool(look)
        seen = hashlib.sha256(msgspec.json.encode(orders)).hexdigest()[:32]
        left = deadline - time.monotonic()
        if seen != body.seen or left <= 0:
            now = await run_in_threadpool(cell.store.now)
            return Orders(
                lease=Lease(nonce=nonce, ttl_ms=ttl), now_us=now, seen=seen, orders=orders
            )
        await cell.views.changed(min(left, 1.0))


def wire_order(order: Order, held: bool) -> dict[str, Any]:
    """An order as the agent protocol writes it; while `held` after a failover, nothing starts."""
    seat, job, spec = order.seat, order.job, order.job.spec
    action = "wait" if not seat.started and (held or not order.ready) else "run"
    if order.of_now and job.phase in (Phase.PREEMPTING, Phase.STOPPING):
        action = "kill" if job.grace_expired else "stop"
    return {
        "allocation": seat.allocation,
        "job": seat.job,
        "attempt": seat.attempt,
        "rank": seat.rank,
        "action": action,
        "started": seat.started,
        "deadline_us": job.stop_deadline if action == "stop" else None,
        "seat": {
            "name": spec.name,
            "project": spec.project,
            "command": list(spec.command),
            "image": spec.image,
            "env": dict(spec.env),
            "cpu_milli": spec.resources.cpu_milli,
            "memory_bytes": spec.resources.memory_bytes,
            "devices": list(seat.devices),
            "replicas": spec.replicas,
            "checkpointing": {
                "enabled": spec.checkpointing.enabled,
                "interval_seconds": spec.checkpointing.interval_seconds,
            },
            "restore": {"digest": order.restore} if order.restore else None,
        },
    }


@router.post("/report", response_model=FactsAnswer)
def report(body: FactsBody, caller: Agent) -> FactsAnswer:
    """Record what happened on the node; each fact is answered for itself."""
    _own_node(caller, body.node)
    meta = Meta(caller.principal.name, f"command:{caller.request_id}", body.node)
    node = NodeId(body.node)
    with caller.cell.connection() as connection:
        session = leases.session(connection, body.node, body.boot)
    return FactsAnswer(results=record_facts(caller.cell.store, node, session, body.facts, meta))


@router.post(
    "/logs",
    response_model=Kept,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}},
)
async def logs(
    request: Request,
    caller: Agent,
    node: Annotated[str, Query(max_length=63)],
    boot: Annotated[str, Query(max_length=128)],
    allocation: Annotated[str, Query(max_length=128)],
    rank: Annotated[int, Query(ge=0, lt=2**31)],
    offset: Annotated[int, Query(ge=0, lt=2**62)],
) -> Kept:
    """Keep what a seat printed, from `offset` bytes of the seat on."""
    _own_node(caller, node)
    data = await request.body()
    return await run_in_threadpool(_keep, caller, node, boot, allocation, rank, offset, data)


def _keep(
    caller: Caller, node: str, boot: str, allocation: str, rank: int, offset: int, data: bytes
) -> Kept:
    caller.cell.space.check()  # an agent keeps what it cannot send yet
    with caller.cell.connection() as connection:
        seat = seat_view.get(connection, allocation, rank)
        if seat is None or seat.node != node:
            raise NotFound("no_such_seat", "this node holds no such seat")
        if not leases.of_boot(seat.session, boot):
            raise StaleWriter("stale_boot", "the seat belongs to another boot of the node")
        cap = caller.cell.settings.log_cap_bytes
        kept = joblogs.append(connection, seat.job, rank, seat.attempt, offset, data, cap)
    return Kept(size=kept.size, full=kept.full)


@router.post("/samples", status_code=204)
def samples(body: SamplesBody, caller: Agent) -> Response:
    """Keep the newest usage of each seat."""
    _own_node(caller, body.node)
    caller.cell.space.check()
    with caller.cell.connection() as connection, connection.transaction():
        for number, sample in enumerate(body.samples):
            seat = seat_view.get(connection, sample.allocation, sample.rank)
            mine = seat is not None and seat.node == body.node
            if seat is None or not mine or not leases.of_boot(seat.session, body.boot):
                detail, field = "this boot holds no such seat", f"samples.{number}.allocation"
                raise Invalid("no_such_seat", detail, field=field)
            connection.execute(
                "INSERT INTO seat_samples"
                " (allocation_id, rank, job_id, cpu_milli, memory_bytes, gpus)"
                " VALUES (%s, %s, %s, %s, %s, %s::jsonb)"
                " ON CONFLICT (allocation_id, rank) DO UPDATE SET sampled_at = clock_timestamp(),"
                " cpu_milli = excluded.cpu_milli, memory_bytes = excluded.memory_bytes,"
                " gpus = excluded.gpus",
                (
                    sample.allocation,
                    sample.rank,
                    seat.job,
                    sample.cpu_milli,
                    sample.memory_bytes,
                    msgspec.json.encode(
                        [gpu.model_dump(exclude_none=True) for gpu in sample.gpus]
                    ).decode(),
                ),
            )
    return Response(status_code=204)
