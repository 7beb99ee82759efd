"""Everything that can have been decided about the cell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.event import Event
from domain.policy.inventory import Cluster
from domain.values.ids import ProjectId


class Order(StrEnum):
    """Who is looked at first. Ties go to the secondary order, then to time in the queue."""

    FIFO = "fifo"
    PRIORITY = "priority"
    FAIR_SHARE = "fair_share"  # least decayed usage for its shares first, level by level
    DEADLINE = "deadline"  # the one that must start soonest to be in time; without one last


class Backfill(StrEnum):
    """How starts of blocked jobs are held."""

    EASY = "easy"  # for the first `backfill_depth` that are blocked
    CONSERVATIVE = "conservative"  # for everyone that is blocked


class Score(StrEnum):
    """Which of the nodes that fit is taken."""

    FRAGMENTATION = "fragmentation"  # where least of what others usually ask for is cut up
    PACK = "pack"  # where least is left
    SPREAD = "spread"  # where most is left


@dataclass(frozen=True)
class FairShare:
    """Usage counts `decay_milli`/1000 of itself once `window_seconds` old, and so on."""

    window_seconds: int = 7 * 24 * 3600
    decay_milli: int = 500


@dataclass(frozen=True)
class PreemptionRules:
    """Who may be asked to leave for another, and how often.

    Only a job of at least `priority_threshold` preempts. A victim was asked fewer than
    `max_preemptions` times in all (None: no limit) and `max_per_hour` in the last hour, runs for
    `min_runtime_seconds` already, and was not asked within the last `cooldown_seconds`.
    `over_share`: also jobs of equal priority, from projects that hold more of their share than
    the preemptor's would. `project_per_hour` limits how many victims a project's jobs make.
    """

    priority_threshold: int = 0
    max_preemptions: int | None = None
    max_per_hour: int | None = None
    min_runtime_seconds: int = 0
    cooldown_seconds: int = 0
    over_share: bool = False
    project_per_hour: int | None = None


@dataclass(frozen=True)
class Overcommit:
    """In a pool, promise `cpu_milli`/1000 (and so on) of what its nodes have."""

    pool: str
    cpu_milli: int = 1000
    memory_milli: int = 1000


@dataclass(frozen=True)
class SchedulerSettings:
    """How the scheduler decides. Times are whole seconds.

    `cycle_budget_ms`: about so many milliseconds of planning are spent in one cycle, and the next
    goes on from there.
    `aging_seconds`: waiting so long counts as one more point of priority (0: never).
    """

    enable_preemption: bool = True
    grace_seconds: int = 30
    interval_seconds: int = 1
    primary_policy: Order = Order.PRIORITY
    secondary_policy: Order = Order.FIFO
    enable_backfill: bool = True
    backfill: Backfill = Backfill.EASY
    backfill_depth: int = 1
    enable_gang_scheduling: bool = True
    aging_seconds: int = 0
    score: Score = Score.FRAGMENTATION
    fair_share: FairShare = FairShare()
    preemption: PreemptionRules = PreemptionRules()
    overcommit: tuple[Overcommit, ...] = ()
    cycle_budget_ms: int = 500


@dataclass(frozen=True)
class Limits:
    """An amount of each resource; None is no limit (as a quota: nothing of one's own)."""

    gpu_milli: int | None = None
    cpu_milli: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Cohort:
    """A node of the sharing tree: an organisation, a department, or a project as a leaf.

    `shares` weigh it against its siblings in fair share. `nominal` is its own quota; beyond that
    it borrows, at most `borrow`, what others of its cohort do not use of theirs; of its own it
    lends at most `lend`. None: no limit on borrowing or lending. A node without a nominal quota
    of a resource has none of its own, but the sum of its children's.
    """

    name: str
    parent: str = ""
    shares: int = 1
    project: ProjectId | None = None
    nominal: Limits = Limits()
    borrow: Limits = Limits()
    lend: Limits = Limits()
    user_limit: Limits = Limits()  # the most one user of the project may hold


@dataclass(frozen=True)
class GpuPrice:
    """Micro-units of money for one GPU of this model for an hour."""

    model: str
    micro_per_hour: int


@dataclass(frozen=True)
class PriceList:
    """Micro-units of money per hour: for one CPU, one GiB of memory, one GPU by model.

    `gpu_micro` is for models that `gpus` does not name.
    """

    currency: str
    cpu_micro: int
    memory_gib_micro: int
    gpu_micro: int
    gpus: tuple[GpuPrice, ...] = ()


@dataclass(frozen=True)
class SchedulerSet(Event, name="policy.scheduler_set.v1"):
    settings: SchedulerSettings


@dataclass(frozen=True)
class PricesSet(Event, name="policy.prices_set.v1"):
    """Prices from this event's recorded time on."""

    prices: PriceList


@dataclass(frozen=True)
class CohortsSet(Event, name="policy.cohorts_set.v1"):
    """The whole sharing tree, parents before their children."""

    cohorts: tuple[Cohort, ...]


@dataclass(frozen=True)
class InventorySet(Event, name="policy.inventory_set.v1"):
    """All nodes that are expected to be there."""

    clusters: tuple[Cluster, ...]


PolicyEvent = SchedulerSet | PricesSet | CohortsSet | InventorySet
"""Any event on the cell's policy stream."""
