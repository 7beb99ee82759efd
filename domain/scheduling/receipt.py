"""Receipts: what makes a decision of the scheduler recomputable, and how it is compared."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from domain.event import Change, Meta, Recorded, StreamId
from domain.scheduling.bound import WHOLE, Bound
from domain.scheduling.decide import ACTOR, Decision
from domain.scheduling.events import Count, Decided, Step
from domain.scheduling.snapshot import RECEIPTS, Snapshot
from domain.values.canonical import canonical

PLANNER = 5
"""Raised whenever the same snapshot and time may lead to other decisions than before."""


def line(stream: StreamId, version: int, project: str | None, event: object) -> bytes:
    """One decided event in the one form that digests are taken of."""
    name = getattr(type(event), "topic", "")
    return canonical([stream, version, project, name, event])


def lines_of(changes: Iterable[Change]) -> list[bytes]:
    """The lines of events that are to be recorded."""
    return [
        line(change.stream, change.version + offset, change.meta.project, event)
        for change in changes
        for offset, event in enumerate(change.events, start=1)
    ]


def line_of(recorded: Recorded) -> bytes:
    """The line of an event as the log has it."""
    return line(recorded.stream, recorded.version, recorded.meta.project, recorded.event)


def digest_of(lines: Iterable[bytes]) -> str:
    """The SHA-256 of lines, each ended by a line feed, in hexadecimal."""
    found = hashlib.sha256()
    for each in lines:
        found.update(each)
        found.update(b"\n")
    return found.hexdigest()


def with_receipts(
    step: Step,
    snapshot: Snapshot,
    now: int,
    decisions: Sequence[Decision],
    most: int,
    bound: Bound = WHOLE,
) -> list[list[Change]]:
    """The decisions of a step in transactions of at most `most`, each led by its receipt."""
    parts = [[change for each in some for change in each] for some in _chunks(decisions, most)]
    lines = [lines_of(changes) for changes in parts]
    whole = digest_of(each for part in lines for each in part)
    meta = Meta(ACTOR, f"event:{snapshot.position}", f"{step}-{snapshot.position}")
    version = snapshot.versions.get(RECEIPTS, 0)
    found = []
    for number, changes in enumerate(parts, start=1):
        names = Counter(event.topic for change in changes for event in change.events)
        receipt = Decided(
            step=step,
            read=snapshot.position,
            now=now,
            policy=snapshot.policy.version,
            planner=PLANNER,
            decisions=whole,
            part=number,
            parts=len(parts),
            events=len(lines[number - 1]),
            recorded=digest_of(lines[number - 1]),
            counts=tuple(Count(name, count) for name, count in sorted(names.items())),
            limits=(Count("decisions_in_a_transaction", most),),
            held_out=tuple(sorted(snapshot.held_out)),
            bound=bound,
        )
        found.append([Change(RECEIPTS, version + number - 1, [receipt], meta), *changes])
    return found


def _chunks(decisions: Sequence[Decision], most: int) -> Iterator[list[Decision]]:
    remaining = iter(decisions)
    while some := list(islice(remaining, most)):
        yield some
