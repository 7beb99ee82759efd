"""Admission: a job that can never run on the fleet is refused when it is submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from domain.errors import Invalid
from domain.job.spec import JobSpec
from domain.node.events import Registered
from domain.node.node import Node
from domain.policy.inventory import expected, offer_of
from domain.policy.policy import Policy
from domain.scheduling.demand import Demand, demand_of
from domain.scheduling.explain import explain
from domain.scheduling.fixes import fix_for
from domain.scheduling.node_state import NodeState
from domain.scheduling.place import place
from domain.scheduling.reason import WaitReason
from domain.scheduling.snapshot import Snapshot
from domain.values.time import SECOND, to_text

REMEMBERED = 4096
"""Verdicts kept: jobs that ask for the same get the same."""
SAMPLE, ALIKE = 128, 8
"""Nodes tried first, and how many of them are of one kind: what fits on a part fits on all."""

_NEVER = "no state of this fleet would let it run."
NO_BOARD = 2**31
"""A board costs more to make than the few questions that the sample leaves open."""


@dataclass(frozen=True)
class Verdict:
    """Why no state of the fleet would let a demand run, the field to change, and how."""

    reason: WaitReason
    field: str
    fix: str


class Fleet:
    """Every node that is known or that the policy's inventory expects, taken as alive, empty, open.

    While no node is `alive` and none is expected nothing is known of what is to come, and
    everything is accepted.
    """

    def __init__(self, offers: Iterable[Registered], policy: Policy, *, alive: bool) -> None:
        known = {offer.node: offer for offer in offers}
        wanted = expected(policy.inventory)
        absent = {name: offer_of(node) for name, (_, node) in wanted.items() if name not in known}
        self.offers = [offer for _, offer in sorted({**known, **absent}.items())]
        self.judges = bool(self.offers) and (alive or bool(wanted))
        self._snapshot = _empty(self.offers, policy)
        self._room = self._snapshot.rooms.empty(self._snapshot)
        some = _sample(self.offers)
        part = _empty(some, policy) if len(some) < len(self.offers) else None
        self._part = None if part is None else part.rooms.empty(part)
        self._verdicts: dict[Demand, Verdict | None] = {}

    def judge(self, spec: JobSpec) -> Verdict | None:
        """Why the job can never run here, None if it can."""
        if not self.judges:
            return None
        demand = _lasting(demand_of(spec))
        if demand not in self._verdicts:
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            self._verdicts[demand] = self._judge(demand)
        return self._verdicts[demand]

    def _judge(self, demand: Demand) -> Verdict | None:
        if self._part is not None and place(demand, self._part) is not None:
            return None
        if place(demand, self._room) is not None:
            return None
        reason = explain(demand, self._snapshot, self._room, self._room)
        return Verdict(reason, *fix_for(demand, reason, self.offers))


def admit(spec: JobSpec, fleet: Fleet, now: int) -> None:
    """Invalid `never_fits` or `cannot_meet_deadline` for a job that can never run as it asks."""
    check_deadline(spec, now)
    verdict = None if spec.accept_when_absent else fleet.judge(spec)
    if verdict is not None:
        excluded = {each.constraint.value: each.nodes for each in verdict.reason.excluded}
        never = f"{_NEVER} {verdict.reason.counts()}".rstrip()
        raise Invalid(
            "never_fits",
            f"{verdict.field}: {never} To change: {verdict.fix};"
            " or set accept_when_absent, to wait for nodes that are to come",
            field=verdict.field,
            nodes=verdict.reason.nodes,
            excluded=excluded,
            fix=verdict.fix,
        )


def check_deadline(spec: JobSpec, now: int) -> None:
    """Refuse a deadline that would be missed even if the job started now."""
    if spec.deadline is None:
        return
    runs = spec.estimate_seconds or 0
    end = now + runs * SECOND
    if end <= spec.deadline:
        return
    left = (spec.deadline - now) // SECOND
    shorter = f", or an estimate of at most {left} seconds" if runs and left > 0 else ""
    what = f"it is expected to run {runs} seconds" if runs else "it lies in the past"
    raise Invalid(
        "cannot_meet_deadline",
        f"deadline: {what}: give one from {to_text(end)} on{shorter}",
        field="deadline",
        earliest_end=to_text(end),
    )


def _lasting(demand: Demand) -> Demand:
    """The demand without what jobs that come and go can satisfy: to be near to some of them."""
    where = demand.where
    kept = tuple(each for each in where.affinity if each.avoid or not each.required)
    return replace(demand, where=replace(where, affinity=kept))


def _empty(offers: Iterable[Registered], policy: Policy) -> Snapshot:
    nodes = {offer.node: NodeState(Node(offer.node, offer)) for offer in offers}
    for state in nodes.values():
        state.recount(())
    return Snapshot(policy=policy, nodes=nodes, board_from=NO_BOARD)


def _sample(offers: list[Registered]) -> list[Registered]:
    """Some nodes of every kind."""
    seen: Counter[object] = Counter()
    found = []
    for offer in offers:
        models = tuple((device.model, device.mig) for device in offer.devices)
        kind = (offer.capacity, models, offer.runners, offer.pool, offer.labels, offer.taints)
        seen[kind] += 1
        if seen[kind] <= ALIKE:
            found.append(offer)
            if len(found) == SAMPLE:
                break
    return found
