"""What goes over the wire between agent and cell (docs/agent-protocol.md, version 1)."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

import msgspec

Action = Literal["run", "wait", "stop", "kill"]
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")


class SeatKey(NamedTuple):
    """Names a seat on this node: an allocation and the rank in its gang."""

    allocation: str
    rank: int

    def __str__(self) -> str:
        return f"{self.allocation}/{self.rank}"

    @property
    def safe(self) -> bool:
        """Whether the key may become a file name; nothing else is accepted from the wire."""
        return bool(_SAFE_ID.fullmatch(self.allocation)) and 0 <= self.rank < 1_000_000


class Checkpointing(msgspec.Struct, frozen=True):
    """Whether the seat is asked to save, and how often (seconds)."""

    enabled: bool = False
    interval_seconds: int = 3600


class Restore(msgspec.Struct, frozen=True):
    """The checkpoint to go on from: SHA-256 of its manifest."""

    digest: str


class SeatWire(msgspec.Struct, frozen=True):
    """What to run: command, limits (thousandths of a CPU, bytes), device ids."""

    name: str = ""
    project: str = ""
    command: tuple[str, ...] = ()
    image: str | None = None
    env: dict[str, str] = {}
    cpu_milli: int = 0
    memory_bytes: int = 0
    devices: tuple[str, ...] = ()
    replicas: int = 1
    checkpointing: Checkpointing = Checkpointing()
    restore: Restore | None = None


class Order(msgspec.Struct, frozen=True):
    """One thing the node should be doing; `deadline_us` is store time."""

    allocation: str
    job: str
    attempt: int
    rank: int
    action: Action
    started: bool = False
    deadline_us: int | None = None
    seat: SeatWire = SeatWire()

    @property
    def key(self) -> SeatKey:
        return SeatKey(self.allocation, self.rank)


class Lease(msgspec.Struct, frozen=True):
    """The right to run seats for `ttl_ms` from the moment the request was sent."""

    nonce: str
    ttl_ms: int


class Registered(msgspec.Struct, frozen=True):
    """The answer to a registration; `now_us` is store time."""

    lease: Lease
    now_us: int


class Orders(msgspec.Struct, frozen=True):
    """The answer to a lease call: everything the node should be doing."""

    lease: Lease
    now_us: int
    seen: str = ""
    orders: tuple[Order, ...] = ()


class SlotWire(msgspec.Struct, frozen=True):
    """A MIG instance that is there: profile, first memory slice, memory slices."""

    profile: str
    start: int
    size: int


class DeviceWire(msgspec.Struct, frozen=True, omit_defaults=True):
    """One GPU offered: stable id, short model name, bytes of memory; `mig` if it is cut up."""

    id: str
    model: str
    memory_bytes: int
    mig: tuple[SlotWire, ...] = ()


class Capacity(msgspec.Struct, frozen=True):
    """What the node offers beside GPUs."""

    cpu_milli: int
    memory_bytes: int
    storage_bytes: int = 0
    network_mbps: int = 0


class Registration(msgspec.Struct, frozen=True):
    """Who the node is and what it offers."""

    node: str
    boot: str
    capacity: Capacity
    devices: tuple[DeviceWire, ...] = ()
    runners: tuple[str, ...] = ()
    pool: str = ""
    rack: str = ""
    spine: str = ""
    taints: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    agent_version: str = ""


class Started(msgspec.Struct, frozen=True, tag_field="kind", tag="started"):
    """The seat runs, under this runner."""

    allocation: str
    rank: int
    runner: str


class Ended(msgspec.Struct, frozen=True, tag_field="kind", tag="ended"):
    """The seat is over; `exit_code` where one is known."""

    allocation: str
    rank: int
    outcome: str
    exit_code: int | None = None
    detail: str = ""


class CheckpointSaved(msgspec.Struct, frozen=True, tag_field="kind", tag="checkpoint"):
    """A checkpoint of the seat lies complete in the object folder."""

    allocation: str
    rank: int
    cause: str
    digest: str
    files: int
    bytes: int
    new_bytes: int


class Restored(msgspec.Struct, frozen=True, tag_field="kind", tag="restored"):
    """The seat's checkpoint directory was filled from this manifest before it started."""

    allocation: str
    rank: int
    digest: str


Fact = Started | Ended | CheckpointSaved | Restored


def key_of(fact: Fact) -> SeatKey:
    """The seat a fact is about."""
    return SeatKey(fact.allocation, fact.rank)


class FactResult(msgspec.Struct, frozen=True):
    """What became of one reported fact: recorded, known or refused."""

    status: str
    code: str = ""
    detail: str = ""


class Results(msgspec.Struct, frozen=True):
    """One result for each fact, in order."""

    results: tuple[FactResult, ...]


class LogKept(msgspec.Struct, frozen=True):
    """How many bytes of a seat's log the cell holds; `full` when it takes no more."""

    size: int
    full: bool = False


class GpuUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one device of a seat is doing; a figure it does not tell is absent."""

    device: str
    util_percent: int | None = None
    memory_bytes: int | None = None


class Sample(msgspec.Struct, frozen=True):
    """What a seat uses now: thousandths of a CPU, resident bytes, its GPUs."""

    allocation: str
    rank: int
    cpu_milli: int
    memory_bytes: int
    gpus: tuple[GpuUsage, ...] = ()


def encode(body: Any) -> bytes:
    """JSON of a wire struct or a mapping of them."""
    return msgspec.json.encode(body)
