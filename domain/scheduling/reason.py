"""Why a job waits: one dominant typed cause, with the counts behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from domain.values.time import to_text


class WaitCode(StrEnum):
    """The dominant cause of a wait."""

    NO_NODES = "no_nodes"  # nothing is registered and alive
    NEVER_FITS = "never_fits"  # the nodes would not hold it even if nothing else ran
    NO_DOCKER = "no_docker"  # the job names an image and no node offers Docker
    NO_SANDBOX = "no_sandbox"  # the job names no image and nodes offer nothing but Docker
    GPU_TYPE_ABSENT = "gpu_type_absent"  # no node has such GPUs
    INSUFFICIENT_GPU = "insufficient_gpu"
    INSUFFICIENT_CPU = "insufficient_cpu"
    INSUFFICIENT_MEMORY = "insufficient_memory"
    CORDONED = "cordoned"  # it would fit on nodes that take no new work
    GANG_TOO_LARGE = "gang_too_large"  # some seats fit now, not all of them
    PREEMPTING = "preempting"  # it gets room that jobs asked to leave still hold
    OVER_QUOTA = "over_quota"  # a limit of its project, cohort, user or budget is reached
    CAPACITY_RESERVED = "capacity_reserved"  # it would fit, but a job ahead is about to start
    NOT_ELIGIBLE = "not_eligible"  # no node meets its conditions: pool, labels, taints, constraint
    INSUFFICIENT_STORAGE = "insufficient_storage"
    INSUFFICIENT_NETWORK = "insufficient_network"
    AFFINITY = "affinity"  # it fits, but not near to, or away from, what it must be
    NODE_IN_USE = "node_in_use"  # it wants nodes for itself, and others run on them
    SCATTERED = "scattered"  # it fits, but its seats not all in one rack or spine
    GANGS_OFF = "gangs_off"  # the policy lets no job with more than one seat start
    DEPENDENCY = "dependency"  # not in the queue: a job it comes after has not ended
    NO_TIME_LIMIT = "no_time_limit"  # under a budget, with nothing to say how long it may run
    RESERVED_WINDOW = "reserved_window"  # it would run into a reservation or maintenance


class Constraint(StrEnum):
    """What excludes a node, in the order it is tested; a node counts under the first."""

    LOST = "lost"
    RUNNER = "runner"
    POOL = "pool"
    TAINT = "taint"
    SELECTOR = "selector"
    CONSTRAINT = "constraint"
    GPU_TYPE = "gpu_type"
    GPU_SIZE = "gpu_size"  # even empty, the node is too small
    CPU_SIZE = "cpu_size"
    MEMORY_SIZE = "memory_size"
    STORAGE_SIZE = "storage_size"
    NETWORK_SIZE = "network_size"
    CORDONED = "cordoned"
    GPU = "gpu"  # big enough, but in use now
    CPU = "cpu"
    MEMORY = "memory"
    STORAGE = "storage"
    NETWORK = "network"
    IN_USE = "in_use"  # wanted whole, and something runs there
    AFFINITY = "affinity"
    RESERVED = "reserved"
    LEFT = "left"  # the job is to leave it
    OTHER = "other"  # not the one it is to move to


Kind = tuple[WaitCode, str, frozenset[Constraint]]
"""What makes two reasons the same to a person, whatever the counts."""


@dataclass(frozen=True)
class Excluded:
    """How many nodes one constraint excludes."""

    constraint: Constraint
    nodes: int


@dataclass(frozen=True)
class WaitReason:
    """Why a job waits: the cause, nodes looked at, nodes out per constraint, seats that fit.

    The counts of `excluded` and `nodes_fitting` add up to `nodes`. `blocker` names for a quota
    whose limit and of what (`gpu of project`), for a job ahead its id, or is empty.
    `starts_at` is when it is planned to start at the latest (microseconds), where that is known;
    `frees_at` when a budget that has too little may have enough, by what is known now.
    """

    code: WaitCode
    nodes: int = 0
    nodes_fitting: int = 0
    excluded: tuple[Excluded, ...] = ()
    seats: int = 1
    seats_fitting: int = 0
    blocker: str = ""
    starts_at: int | None = None
    frees_at: int | None = None

    @cached_property
    def kind(self) -> Kind:
        """The cause and the constraints named."""
        return self.code, self.blocker, frozenset(x.constraint for x in self.excluded)

    def text(self) -> str:
        """The reason in one English sentence, then the counts."""
        sentence = _CODE_TEXT[self.code].format(
            seats=self.seats, fitting=self.seats_fitting, blocker=self.blocker
        )
        if self.frees_at is not None:
            sentence += f" There may be enough from {to_text(self.frees_at)}."
        return f"{sentence} {self.counts()}".rstrip()

    def counts(self) -> str:
        """How many nodes each constraint excludes, as a sentence; nothing where none is."""
        counts = ", ".join(f"{x.nodes} {_CONSTRAINT_TEXT[x.constraint]}" for x in self.excluded)
        return f"Of {self.nodes} nodes: {counts}." if counts else ""


_CODE_TEXT = {
    WaitCode.NO_NODES: "No node is registered and alive.",
    WaitCode.NEVER_FITS: "The nodes would not hold it even if nothing else ran.",
    WaitCode.NO_DOCKER: "The job names a container image and no node offers Docker.",
    WaitCode.NO_SANDBOX: "The job names no container image and the nodes offer only Docker.",
    WaitCode.GPU_TYPE_ABSENT: "No node has GPUs of a type the job accepts.",
    WaitCode.INSUFFICIENT_GPU: "Not enough GPUs are free.",
    WaitCode.INSUFFICIENT_CPU: "Not enough CPU is free.",
    WaitCode.INSUFFICIENT_MEMORY: "Not enough memory is free.",
    WaitCode.CORDONED: "It fits only on nodes that are cordoned.",
    WaitCode.GANG_TOO_LARGE: "Only {fitting} of its {seats} seats fit now; a gang starts whole.",
    WaitCode.PREEMPTING: "Room is being made: jobs that were asked to leave save their work.",
    WaitCode.OVER_QUOTA: "The limit for {blocker} is reached.",
    WaitCode.DEPENDENCY: "It comes after {blocker}.",
    WaitCode.NO_TIME_LIMIT: "Its project has a budget: give the job a time limit or an estimate.",
    WaitCode.NOT_ELIGIBLE: "No node meets the job's conditions.",
    WaitCode.INSUFFICIENT_STORAGE: "Not enough local storage is free.",
    WaitCode.INSUFFICIENT_NETWORK: "Not enough network bandwidth is free.",
    WaitCode.AFFINITY: "It fits, but not near to or away from the jobs that it must be.",
    WaitCode.NODE_IN_USE: "It wants nodes for itself, and others run on them.",
    WaitCode.SCATTERED: "It fits, but not with all seats as near to each other as it must be.",
    WaitCode.GANGS_OFF: "The policy starts no jobs with more than one seat.",
    WaitCode.RESERVED_WINDOW: "It would run into a reservation or maintenance of the nodes.",
    WaitCode.CAPACITY_RESERVED: "The free capacity is kept for a job ahead that starts soon.",
}
_CONSTRAINT_TEXT = {
    Constraint.LOST: "lost",
    Constraint.RUNNER: "without a runner for it",
    Constraint.POOL: "in other pools",
    Constraint.TAINT: "with taints it does not tolerate",
    Constraint.SELECTOR: "without its labels",
    Constraint.CONSTRAINT: "outside its constraint",
    Constraint.GPU_TYPE: "without such GPUs",
    Constraint.GPU_SIZE: "with too few GPUs in all",
    Constraint.CPU_SIZE: "with too little CPU in all",
    Constraint.MEMORY_SIZE: "with too little memory in all",
    Constraint.STORAGE_SIZE: "with too little storage in all",
    Constraint.NETWORK_SIZE: "with too little network in all",
    Constraint.CORDONED: "cordoned",
    Constraint.GPU: "with too few GPUs free",
    Constraint.CPU: "with too little CPU free",
    Constraint.MEMORY: "with too little memory free",
    Constraint.STORAGE: "with too little storage free",
    Constraint.NETWORK: "with too little network free",
    Constraint.IN_USE: "in use by others",
    Constraint.AFFINITY: "too near or too far",
    Constraint.RESERVED: "kept for a reservation",
    Constraint.LEFT: "that it is to leave",
    Constraint.OTHER: "other than the one it is to move to",
}
