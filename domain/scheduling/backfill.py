"""Backfill: later jobs use what the blocked ones ahead cannot, without delaying those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain.scheduling.order import Claim, Order, fcfs
from domain.scheduling.profile import Profile, covers


@dataclass(frozen=True)
class Decision:
    """Who starts now, in order, and the start held for each blocked claim that has one."""

    starts: tuple[Claim, ...] = ()
    holds: Mapping[str, int] = field(default_factory=dict)


def strict(now: int, queue: Iterable[Claim], profile: Profile) -> Decision:
    """Start in order until one does not fit: no backfill. Starts are reserved in `profile`."""
    starts: list[Claim] = []
    for claim in queue:
        if not profile.fits(now, now + claim.estimate, claim.amount):
            break
        profile.reserve(now, now + claim.estimate, claim.amount)
        starts.append(claim)
    return Decision(tuple(starts))


def easy(now: int, queue: Iterable[Claim], profile: Profile, depth: int = 1) -> Decision:
    """EASY: hold the earliest start of the first `depth` blocked claims, fill around them.

    A filler starts if its whole span is free beside the holds: it ends before the shadow time
    or uses what the held claims leave over. Starts and holds are reserved in `profile`. A claim
    that can never fit holds nothing.
    """
    starts: list[Claim] = []
    holds: dict[str, int] = {}
    for claim in queue:
        if profile.fits(now, now + claim.estimate, claim.amount):
            profile.reserve(now, now + claim.estimate, claim.amount)
            starts.append(claim)
        elif len(holds) < depth:
            start = profile.earliest(claim.amount, claim.estimate, now)
            if start is not None:
                profile.reserve(start, start + claim.estimate, claim.amount)
                holds[claim.job] = start
    return Decision(tuple(starts), holds)


def conservative(
    now: int, queue: Iterable[Claim], profile: Profile, held: Mapping[str, int]
) -> Decision:
    """Every claim holds a start that only moves earlier; `held` are those given before.

    In order, each gives its hold back and takes the earliest span then free, at the latest the
    same again. Re-planning all from nothing would let one that moves up push back another.
    Only where capacity went away, or a job ran over its estimate, can a hold move later.
    """
    claims = list(queue)
    for claim in claims:
        if claim.job in held:
            start = max(held[claim.job], now)
            profile.withhold(start, start + claim.estimate, claim.amount)
    starts: list[Claim] = []
    holds: dict[str, int] = {}
    known = [claim for claim in claims if claim.job in held]
    for claim in known + [claim for claim in claims if claim.job not in held]:
        if claim.job in held:
            start = max(held[claim.job], now)
            profile.release(start, start + claim.estimate, claim.amount)
        found = profile.earliest(claim.amount, claim.estimate, now)
        if found is None:
            continue
        profile.reserve(found, found + claim.estimate, claim.amount)
        if found == now:
            starts.append(claim)
        else:
            holds[claim.job] = found
    return Decision(tuple(starts), holds)


@dataclass(frozen=True)
class Commitment:
    """The head that `reference` waits for, and the shadow time found when it blocked."""

    head: Claim
    shadow: int


def reference(
    now: int,
    queue: Iterable[Claim],
    profile: Profile,
    order: Order,
    committed: Commitment | None,
    *,
    fill: bool,
) -> tuple[Decision, Commitment | None]:
    """The mode of RLScheduler (SC'20), for comparison with its published figures.

    The head by `order` is committed until it starts. Meanwhile, if `fill`, claims start first
    come first served where they fit now and end strictly before the shadow time, which is
    computed once; there are no extra nodes. To equal it to the digit, ask after every single
    event. `profile` must only rise (running jobs end); starts are reserved in it.
    """
    waiting = {claim.job: claim for claim in queue}
    starts: list[Claim] = []

    def start(claim: Claim) -> None:
        profile.reserve(now, now + claim.estimate, claim.amount)
        starts.append(waiting.pop(claim.job))

    while waiting:
        head = committed.head if committed else min(waiting.values(), key=lambda c: order(c, now))
        if covers(profile.at(now), head.amount):
            start(head)
            committed = None
            continue
        if committed is None:
            shadow = profile.earliest(head.amount, head.estimate, now)
            if shadow is None:
                raise ValueError(f"{head.job} can never fit")
            committed = Commitment(head, shadow)
        for claim in sorted(waiting.values(), key=lambda c: fcfs(c, now)) if fill else ():
            if now + claim.estimate < committed.shadow and covers(profile.at(now), claim.amount):
                start(claim)
        break
    return Decision(tuple(starts)), committed
