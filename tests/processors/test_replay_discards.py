"""A replay passes over what somebody discarded, and over nothing else that cannot be taken."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from domain.allocation.events import Granted
from domain.job.events import WaitExplained
from domain.scheduling.replay import Fault, Replay
from infra.codec import UnknownEvent
from infra.snapshots import Snapshots
from infra.store import stream_of
from processors.audit.moments import folded
from processors.audit.replaying import replay
from processors.reading import StandsStill
from processors.scheduler import ROLE
from tests.processors.small_cell import SmallCell, settle
from tests.processors.test_poison import scheduler, spoil
from tests.processors.test_projector import POISON, rename
from tests.processors.test_quarantine import discard


def replayed(cell: SmallCell) -> dict[str, Any]:
    return replay(cell.store, None, 0, cell.store.head())


def without_the_limit(cell: SmallCell) -> int:
    """A limit that cannot be read, discarded; then the job it kept waiting is placed."""
    cell.register("node-1")
    cell.limit(0)
    cell.submit("job")
    position, _ = spoil(cell, "project/ml")
    with pytest.raises(StandsStill):
        scheduler(cell).cycle()
    with pytest.raises(UnknownEvent, match=f"position {position}: {POISON}"):
        replayed(cell)
    discard(cell.store, ROLE, "project/ml", position)
    settle(scheduler(cell))
    assert cell.phase("job") == "starting"
    return position


def test_what_was_discarded_is_passed_over_and_counted(cell: SmallCell) -> None:
    position = without_the_limit(cell)
    found = replayed(cell)
    assert found["difference"] is None
    assert (found["passed_over"], found["position"]) == (1, cell.store.head())
    [whole] = cell.connection.execute("SELECT count(*) FROM stored_events").fetchall()
    assert found["events"] == whole["count"]
    assert found["receipts"] == 1
    before = replay(cell.store, None, 0, position - 1)
    assert before["passed_over"] == 0
    assert before["difference"] is None


def test_what_can_be_read_and_was_discarded_is_not_folded_either(cell: SmallCell) -> None:
    """It is readable again, as with a later version: the scheduler did without it all the same."""
    position = without_the_limit(cell)
    rename(cell, position, "project.quota_set.v1")
    found = replayed(cell)
    assert (found["difference"], found["passed_over"]) == (None, 1)
    assert folded(cell.store, Snapshots(cell.dsn), cell.store.head()).quotas == {}


def test_the_audit_says_what_nobody_discarded_in_words(cell: SmallCell) -> None:
    cell.register("node-1")
    cell.limit(0)
    position, _ = spoil(cell, "project/ml")
    discard(cell.store, "quota", "project/ml", position)  # a read model's is not the scheduler's
    words = [sys.executable, "-m", "processors.audit", "replay"]
    asked = subprocess.run(
        words,
        input=b"{}",
        capture_output=True,
        check=False,
        env={"COMPUTE_DATABASE_URL": cell.dsn},
        timeout=60,
    )
    assert asked.returncode == 1
    refusal = json.loads(asked.stdout.splitlines()[-1])["refusal"]
    assert (refusal["kind"], refusal["code"]) == ("Unavailable", "unreadable_event")
    assert f"position {position}: {POISON}" in refusal["detail"]


def test_what_cannot_be_folded_and_nobody_discarded_is_told_by_its_place(cell: SmallCell) -> None:
    cell.register("node-1")
    cell.submit("job")
    first, then = cell.store.stream(stream_of("job", "job"))
    cell.connection.execute(
        "DELETE FROM stored_events WHERE notification_id = %s", (first.position,)
    )
    cell.submit("other")
    settle(scheduler(cell))
    assert cell.phase("other") == "starting"
    with pytest.raises(UnknownEvent, match=f"position {then.position}: {then.event.topic}"):
        replayed(cell)
    discard(cell.store, ROLE, "job/job", then.position)
    assert replayed(cell)["passed_over"] == 1


def test_a_decision_of_which_a_part_was_discarded_is_confirmed_by_what_comes_out(
    cell: SmallCell,
) -> None:
    cell.register("node-1", cpus=1)
    cell.submit("first")
    cell.submit("second")
    settle(scheduler(cell))
    [told] = [r for r in cell.store.read(0) if isinstance(r.event, WaitExplained)]
    rename(cell, told.position, POISON)
    with pytest.raises(UnknownEvent):
        replayed(cell)
    discard(cell.store, ROLE, told.stream, told.position)
    found = replayed(cell)
    assert (found["difference"], found["passed_over"], found["receipts"]) == (None, 1, 1)
    assert found["decisions"] == 3


def test_what_else_such_a_receipt_covers_is_still_compared(cell: SmallCell) -> None:
    cell.register("node-1", cpus=1)
    cell.submit("first")
    cell.submit("second")
    settle(scheduler(cell))
    events = cell.store.read(0)
    [told] = [r for r in events if isinstance(r.event, WaitExplained)]
    replaying = Replay(discarded=frozenset({told.position}))
    for each in events:
        if each is told:
            replaying.pass_over(told.position)
        elif isinstance(each.event, Granted):
            replaying.feed([each._replace(event=replace(each.event, user="eve"))])
        else:
            replaying.feed([each])
    difference = replaying.finish().difference
    assert difference is not None
    assert difference.fault is Fault.RECORD_CHANGED
