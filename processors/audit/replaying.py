"""The replay of a stretch of the log: each recorded decision computed anew and compared."""

from __future__ import annotations

from typing import Any

from domain.scheduling.receipt import PLANNER
from domain.scheduling.replay import Replay
from infra.codec import to_builtins
from infra.snapshots import Snapshots
from infra.store import Log
from processors.audit.moments import BATCH, Tell


def replay(
    log: Log, kept: Snapshots | None, begin: int, end: int, tell: Tell = lambda _: None
) -> dict[str, Any]:
    """What was confirmed between two positions, and the first difference if there is one.

    Without `kept` the log is folded from its beginning, so that nothing but the log has a say.
    """
    replaying = Replay(kept.newest(begin) if kept else None, skip=begin)
    after = replaying.snapshot.position
    fine = True
    while fine and after < end and (batch := log.read(after, BATCH)):
        fine = replaying.feed(each for each in batch if each.position <= end)
        after = batch[-1].position
        tell(min(after, end))
    found = to_builtins(replaying.finish())
    return {"from": begin, "to": end, "planner": PLANNER, **found}
