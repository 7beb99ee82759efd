"""The replay of a stretch of the log: each recorded decision computed anew and compared."""

from __future__ import annotations

from typing import Any

from domain.event import Recorded
from domain.scheduling.receipt import PLANNER
from domain.scheduling.replay import Replay
from infra.codec import FAULTS, UnknownEvent, poison, to_builtins
from infra.follow import read_to_bad
from infra.snapshots import Snapshots
from infra.store import Log
from processors.audit.moments import BATCH, Tell, discarded_by_scheduler


def replay(
    log: Log, kept: Snapshots | None, begin: int, end: int, tell: Tell = lambda _: None
) -> dict[str, Any]:
    """What was confirmed between two positions, and the first difference if there is one.

    Without `kept` the log is folded from its beginning, so that nothing but the log has a say. What
    was discarded for the scheduler is passed over; any other event that cannot be taken is told as
    UnknownEvent.
    """
    discarded = discarded_by_scheduler(log)
    replaying = Replay(kept.newest(begin) if kept else None, begin, discarded)
    after = replaying.snapshot.position
    fine = True
    while fine and after < end:
        try:
            batch = read_to_bad(log.read, after, BATCH)
        except UnknownEvent as error:
            after = error.poison.position
            if after > end:
                break
            if after not in discarded:
                raise
            fine = replaying.pass_over(after)
            continue
        if not batch:
            break
        fine = _feed(replaying, [each for each in batch if each.position <= end])
        after = batch[-1].position
        tell(min(after, end))
    found = to_builtins(replaying.finish())
    return {"from": begin, "to": end, "planner": PLANNER, **found}


def _feed(replaying: Replay, batch: list[Recorded]) -> bool:
    """Take in some events; UnknownEvent where one cannot be folded that nobody discarded."""
    try:
        return replaying.feed(batch)
    except FAULTS as error:
        if replaying.folding is None:
            raise
        raise UnknownEvent(poison(replaying.folding, error)) from error
