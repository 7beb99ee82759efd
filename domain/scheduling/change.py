"""Changes of a job, or around it, that may let it start: typed, told, and as events of a trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never, get_args

from domain.event import StreamId, stream_of
from domain.job import events as e
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.node.events import Cordoned, Uncordoned
from domain.policy.events import CohortsSet, Limits
from domain.project.events import Quota, QuotaSet
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.trial import Told, respecified
from domain.values.ids import NodeId, ProjectId
from domain.values.quantity import GIB

POLICY = StreamId("policy/cell")


@dataclass(frozen=True)
class FewerGpus:
    """Each seat asks for so much of GPUs (thousandths)."""

    gpu_milli: int


@dataclass(frozen=True)
class FewerReplicas:
    """The gang has so many seats."""

    replicas: int


@dataclass(frozen=True)
class LessCpu:
    """Each seat asks for so much CPU (thousandths)."""

    cpu_milli: int


@dataclass(frozen=True)
class LessMemory:
    """Each seat asks for so many bytes."""

    memory_bytes: int


@dataclass(frozen=True)
class OtherGpuType:
    """It takes GPUs of this model instead."""

    model: str


@dataclass(frozen=True)
class OtherPool:
    """It runs in this pool instead."""

    pool: str


@dataclass(frozen=True)
class ShorterLimit:
    """It is stopped after so many seconds, and so out of the way of a start that is held."""

    seconds: int


@dataclass(frozen=True)
class HigherPriority:
    """It has this priority."""

    priority: int


@dataclass(frozen=True)
class MoreQuota:
    """The project's limits are these."""

    project: ProjectId
    quota: Quota


@dataclass(frozen=True)
class LargerCohort:
    """The cohort's nominal quota is this."""

    cohort: str
    nominal: Limits


@dataclass(frozen=True)
class UncordonedNode:
    """The node takes new work again."""

    node: NodeId


Change = (
    FewerGpus
    | FewerReplicas
    | LessCpu
    | LessMemory
    | OtherGpuType
    | OtherPool
    | ShorterLimit
    | HigherPriority
    | MoreQuota
    | LargerCohort
    | UncordonedNode
)


class Kind(StrEnum):
    """What is changed, for programs."""

    FEWER_GPUS = "fewer_gpus"
    FEWER_REPLICAS = "fewer_replicas"
    LESS_CPU = "less_cpu"
    LESS_MEMORY = "less_memory"
    OTHER_GPU_TYPE = "other_gpu_type"
    OTHER_POOL = "other_pool"
    SHORTER_LIMIT = "shorter_limit"
    HIGHER_PRIORITY = "higher_priority"
    MORE_QUOTA = "more_quota"
    LARGER_COHORT = "larger_cohort"
    UNCORDONED_NODE = "uncordoned_node"


_KINDS: dict[type[Change], Kind] = dict(zip(get_args(Change), Kind, strict=True))


def kind_of(change: Change) -> Kind:
    """The kind of the change."""
    return _KINDS[type(change)]


def text_of(change: Change) -> str:
    """What to do, in one line."""
    match change:
        case FewerGpus(gpu_milli=milli):
            return f"ask for {_many(milli, 'GPU')} a seat"
        case FewerReplicas(replicas=replicas):
            return f"ask for {_many(replicas * 1000, 'replica')}"
        case LessCpu(cpu_milli=milli):
            return f"ask for {_many(milli, 'CPU')} a seat"
        case LessMemory(memory_bytes=size):
            return f"ask for {size / GIB:g} GiB of memory a seat"
        case OtherGpuType(model=model):
            return f"accept GPUs of type {model}"
        case OtherPool(pool=pool):
            return f"accept the pool {pool}"
        case ShorterLimit(seconds=seconds):
            return (
                f"set a time limit of {seconds} seconds: it then ends before a start that is held"
            )
        case HigherPriority(priority=priority):
            return f"raise its priority to {priority}"
        case MoreQuota(project=project, quota=quota):
            return f"raise the limits of project {project} to {_amounts(quota)}"
        case LargerCohort(cohort=cohort, nominal=nominal):
            return f"raise the nominal quota of cohort {cohort} to {_amounts(nominal)}"
        case UncordonedNode(node=node):
            return f"uncordon node {node}"
        case _:
            assert_never(change)


def _many(milli: int, what: str) -> str:
    return f"{milli / 1000:.10g} {what}{'' if milli == 1000 else 's'}"


def _amounts(limits: Quota | Limits) -> str:
    parts = []
    if limits.gpu_milli is not None:
        parts.append(_many(limits.gpu_milli, "GPU"))
    if limits.cpu_milli is not None:
        parts.append(_many(limits.cpu_milli, "CPU"))
    if limits.memory_bytes is not None:
        parts.append(f"{limits.memory_bytes / GIB:g} GiB")
    return ", ".join(parts)


def spec_with(spec: JobSpec, change: Change) -> JobSpec:
    """The specification with the change; the same where it is none of the specification."""
    resources = spec.resources
    match change:
        case FewerGpus(gpu_milli=milli):
            return replace(spec, resources=replace(resources, gpu_milli=milli))
        case FewerReplicas(replicas=replicas):
            least = None if spec.min_replicas is None else min(spec.min_replicas, replicas)
            return replace(spec, replicas=replicas, min_replicas=least)
        case LessCpu(cpu_milli=milli):
            return replace(spec, resources=replace(resources, cpu_milli=milli))
        case LessMemory(memory_bytes=size):
            return replace(spec, resources=replace(resources, memory_bytes=size))
        case OtherGpuType(model=model):
            return replace(spec, gpu_types=(model,))
        case OtherPool(pool=pool):
            return replace(spec, where=replace(spec.where, pools=(pool,)))
        case ShorterLimit(seconds=seconds):
            return replace(spec, time_limit_seconds=seconds, estimate_seconds=None)
    return spec


def events_of(change: Change, snapshot: Snapshot, job: Job) -> tuple[list[Told], list[Told]]:
    """The events that make the change of a queued job, and those that take it back."""
    stream = stream_of("job", job.id)
    match change:
        case HigherPriority(priority=priority):
            forth = [(stream, e.PriorityChanged(priority, job.priority))]
            return [*forth], [(stream, e.PriorityChanged(job.priority, priority))]
        case MoreQuota(project=project, quota=quota):
            limits = stream_of("project", project)
            before = snapshot.quotas.get(project, Quota())
            return [(limits, QuotaSet(quota))], [(limits, QuotaSet(before))]
        case LargerCohort(cohort=name, nominal=nominal):
            tree = snapshot.policy.cohorts
            larger = tuple(replace(c, nominal=nominal) if c.name == name else c for c in tree)
            return [(POLICY, CohortsSet(larger))], [(POLICY, CohortsSet(tree))]
        case UncordonedNode(node=node):
            state = snapshot.nodes[node].node
            again = Cordoned(state.cordon_reason, state.draining)
            open_, close = stream_of("node", node), stream_of("node", node)
            return [(open_, Uncordoned())], [(close, again)]
    back = respecified(job, job.spec)
    if job.waiting is not None:
        back.append((stream, e.WaitExplained(job.waiting)))
    return [*respecified(job, spec_with(job.spec, change))], back
