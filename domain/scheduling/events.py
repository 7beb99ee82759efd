"""What the scheduler says about its own work: receipts of what it decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.event import Event
from domain.scheduling.bound import WHOLE, Bound


class Step(StrEnum):
    """The part of a cycle in which a decision was made."""

    CONCLUDE = "conclude"  # what follows from reported facts
    PLAN = "plan"  # who starts, who makes room, why the others wait


@dataclass(frozen=True)
class Count:
    """How many of one kind."""

    name: str
    count: int


@dataclass(frozen=True)
class Decided(Event, name="scheduler.decided.v1"):
    """The receipt of one transaction of decisions, recorded right before them.

    Whoever folds the log up to position `read` and decides at `now` (microseconds) must come to
    decisions with the digest `decisions`, all of the step together. A long step is recorded in
    `parts` transactions, and this is number `part`, from 1, of them: the next `events` events of
    the log, whose digest is `recorded`. If a rival's write stopped it, the later parts are missing.
    `policy` is the version of the policy, `planner` that of the code that decided, `counts` are the
    kinds of events of the part, `limits` the bounds of work that had a say; `bound` is what a plan
    was allowed, and where in the queue it began.
    """

    step: Step
    read: int
    now: int
    policy: int
    planner: int
    decisions: str
    part: int
    parts: int
    events: int
    recorded: str
    counts: tuple[Count, ...] = ()
    limits: tuple[Count, ...] = ()
    held_out: tuple[str, ...] = ()  # streams it could not read, and decided nothing on
    bound: Bound = WHOLE
