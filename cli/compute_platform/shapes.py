"""The API's documents as types (docs/api.md); answers may carry more than is named here."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

JsonObject = dict[str, Any]


class Amount(TypedDict):
    """Quantities: thousandths of a CPU, bytes, whole GPUs."""

    cpu_milli: int
    memory_bytes: int
    gpu: int
    gpu_milli: int


class JobResources(Amount):
    """What one seat of a job asks for; `gpu_types` empty means any model, `mig` no instance."""

    gpu_types: list[str]
    mig: NotRequired[str]


class Excluded(TypedDict):
    """How many nodes one constraint excludes."""

    constraint: str
    nodes: int


class Reason(TypedDict):
    """Why a job waits."""

    code: str
    text: str
    nodes: int
    nodes_fitting: int
    seats: int
    seats_fitting: int
    blocker: str
    excluded: list[Excluded]


class Change(TypedDict):
    """A change with which a job would start now."""

    kind: str
    text: str
    to: JsonObject


class Outlook(TypedDict):
    """What a cycle would do with a job at the time `at`."""

    at: NotRequired[str]
    forecast: str
    nodes: list[str]
    reason: Reason | None
    queue_position: int | None
    queued: int | None
    ahead: list[Ahead]
    ahead_total: int | None
    earliest_start: str | None
    latest_start: str | None
    changes: list[Change]
    field: NotRequired[str | None]
    fix: NotRequired[str | None]
    asks: NotRequired[int]
    deadline: NotRequired[str | None]
    complete: NotRequired[bool]


class Migration(TypedDict):
    """A job that is to run elsewhere: the nodes it leaves, and those found for it."""

    leaves: list[str]
    to: str | None
    found: list[str]
    reason: Reason | None


class Job(TypedDict):
    """A job as the API answers it; times are RFC 3339 in UTC."""

    id: str
    name: str
    project_id: str
    user: str
    phase: str
    priority: int
    attempt: int
    failures: int
    preemptions: int
    command: list[str]
    docker_image: str | None
    replicas: int
    resources: JobResources
    checkpointing: JsonObject
    submitted_at: str
    queued_since: str | None
    started_at: str | None
    ended_at: str | None
    outcome: str | None
    exit_code: int | None
    detail: str
    nodes: list[str]
    reason: Reason | None
    queue_position: int | None
    due_at: str | None
    stop_deadline: str | None
    preemptor: str | None
    usage: list[JsonObject] | None
    position: int
    version: int
    inherited_priority: NotRequired[int | None]
    labels: NotRequired[dict[str, str]]
    migration: NotRequired[Migration | None]


class Ahead(TypedDict):
    """A job that is before another in the queue."""

    id: str
    name: str
    priority: int


class Happened(TypedDict):
    """One line of a job's history; `position` is where the log holds it."""

    at: str
    position: int
    name: str
    text: str


class Waits(TypedDict):
    """Microseconds a job waited by cause, and the cause that lasts since a time."""

    by_cause: dict[str, int]
    cause: str | None
    since: str | None


class Why(TypedDict):
    """Why a job stands where it does."""

    job_id: str
    phase: str
    summary: str
    reason: Reason | None
    queue_position: int | None
    ahead: list[Ahead]
    ahead_total: int
    history: list[Happened]
    waits: NotRequired[Waits]
    migration: NotRequired[Migration | None]


class QueueItem(TypedDict):
    """A waiting job's line in the queue."""

    queue_position: int
    id: str
    name: str
    project_id: str
    user: str
    priority: int
    queued_since: str
    reason: Reason | None
    inherited_priority: NotRequired[int | None]


class Queue(TypedDict):
    """The queue, and how many wait for each reason."""

    items: list[QueueItem]
    by_reason: dict[str, int]
    total: int


class Device(TypedDict):
    """A GPU of a node, and the job that holds it."""

    id: str
    model: str
    memory_bytes: int
    job: str | None


class Pool(TypedDict):
    """Nodes of a kind, counted together."""

    name: str
    nodes: int
    alive: int
    gpu_models: list[str]
    capacity: Amount
    allocated: Amount
    free: Amount


class Node(TypedDict):
    """A node as the cell knows it."""

    id: str
    pool: str
    alive: bool
    cordoned: bool
    draining: bool
    cordon_reason: str
    cordoned_until: NotRequired[str | None]
    capacity: Amount
    allocated: Amount
    free: Amount
    devices: list[Device]
    runners: list[str]
    labels: dict[str, str]
    rack: str
    agent_version: str
    jobs: list[str]
    cluster: NotRequired[str]
    absent: NotRequired[bool]
    mismatches: NotRequired[list[str]]


class Rebuild(TypedDict):
    """The newest rebuild of a read model."""

    position: int
    requested_by: str
    requested_at: str
    finished_at: str | None
    error: str | None


class View(TypedDict):
    """A read model, how far it has come, and its newest rebuild."""

    view: str
    position: int
    lag: int
    quarantined: int
    rebuild: Rebuild | None


class Page(TypedDict):
    """A list's answer: items, and the cursor for more."""

    items: list[JsonObject]
    next_cursor: str | None
