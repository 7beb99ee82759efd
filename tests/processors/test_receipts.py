"""Receipts of decisions, and their replay from the log alone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from domain.event import Recorded
from domain.job import job as jobs
from domain.job.events import Placed
from domain.scheduling import made
from domain.scheduling.decide import ACTOR
from domain.scheduling.events import Decided, Step
from domain.scheduling.replay import Fault, Replay, Tally
from domain.scheduling.snapshot import Snapshot
from infra.store import Store
from processors import scheduler as module
from tests.processors.small_cell import SmallCell, settle
from tests.processors.test_scheduling import Disturbed
from tests.replayed import check


def log(cell: SmallCell) -> list[Recorded]:
    return cell.store.read(0, 10_000)


def replayed(events: list[Recorded]) -> Tally:
    replaying = Replay()
    replaying.feed(events)
    return replaying.finish()


def story(cell: SmallCell) -> None:
    """Jobs placed, one waiting, a preemption, ends."""
    cell.register("node-1", cpus=2)
    for name in ("a", "b", "c"):
        cell.submit(name)
    leader = cell.scheduler()
    settle(leader)
    cell.start("a")
    settle(leader)
    cell.submit("urgent", priority=9, resources=cell.cpus(2))
    settle(leader)
    cell.end("a")
    cell.end("b")
    settle(leader)
    assert cell.phase("urgent") == "starting"


def test_every_decision_has_one_receipt_and_comes_out_again(cell: SmallCell) -> None:
    story(cell)
    events = log(cell)
    decided = [r for r in events if r.meta.actor == ACTOR and not isinstance(r.event, Decided)]
    receipts = [r.event for r in events if isinstance(r.event, Decided)]
    assert {receipt.step for receipt in receipts} == set(Step)
    tally = check(cell.store.read)
    assert (tally.receipts, tally.decisions) == (len(receipts), len(decided))
    assert sum(receipt.events for receipt in receipts) == len(decided)
    assert tally.before == tally.cut_short == 0


def test_a_receipt_causes_no_cycle_and_none_is_left_without_decisions(cell: SmallCell) -> None:
    cell.register("node-1")
    leader = cell.scheduler()
    settle(leader)
    assert cell.happened(Decided) == []
    cell.submit("a")
    settle(leader)
    head = cell.store.head()
    assert not leader.cycle()
    assert cell.store.head() == head
    assert len(cell.happened(Decided)) == 1


def test_a_receipt_says_what_was_known(cell: SmallCell) -> None:
    cell.register("node-1", cpus=2)
    cell.submit("a")
    read = cell.store.head()
    settle(cell.scheduler())
    [receipt] = cell.happened(Decided)
    assert (receipt.step, receipt.read, receipt.policy) == (Step.PLAN, read, 0)
    assert {c.name: c.count for c in receipt.counts} == {
        "allocation.granted.v1": 1,
        "job.placed.v1": 1,
    }
    assert (receipt.part, receipt.parts, receipt.events) == (1, 1, 2)


def test_a_cycle_that_met_a_rival_is_told_as_far_as_it_came(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three placements in three transactions; before the second its job is cancelled."""
    monkeypatch.setattr(module, "CHUNK", 1)
    cell.register("node-1", cpus=3)
    for name in ("a", "b", "c"):
        cell.submit(name)
    with closing(Disturbed(cell.dsn)) as store:

        def rival() -> None:
            store.before = lambda: None
            cell.decide("b", lambda job: jobs.cancel(job, 0))

        store.after = lambda: setattr(store, "before", rival)
        assert cell.scheduler(store).cycle()
    [receipt] = cell.happened(Decided)
    assert (receipt.part, receipt.parts, receipt.events) == (1, 3, 2)
    tally = check(cell.store.read)
    assert (tally.receipts, tally.cut_short) == (1, 1)
    settle(cell.scheduler())
    assert cell.phase("c") == "starting"


def test_parts_are_compared_each_with_its_place_in_the_step(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    cell.register("node-1", cpus=3)
    for number in range(5):
        cell.submit(f"job-{number}")
    settle(cell.scheduler())
    assert [(r.part, r.parts) for r in cell.happened(Decided)] == [(1, 3), (2, 3), (3, 3)]
    assert check(cell.store.read).receipts == 3


def test_code_that_decides_otherwise_is_found_at_the_first_decision(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    story(cell)
    events = log(cell)
    first = next(r for r in events if isinstance(r.event, Placed))

    def elsewhere(job: jobs.Job, *arguments: object) -> list[object]:
        return [replace(real(job, *arguments)[0], reason="worst_fit")]  # type: ignore[arg-type]

    real = jobs.place
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "place", elsewhere)
        found = replayed(events).difference
    assert found is not None
    assert (found.fault, found.position) == (Fault.DECIDED_OTHERWISE, first.position)
    assert '"reason":"fragmentation"' in found.then
    assert '"reason":"worst_fit"' in found.now


def test_code_that_decides_nothing_more_is_found(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    story(cell)
    with monkeypatch.context() as patch:
        patch.setattr("domain.scheduling.decide.plan", lambda *_: made.Plan())
        found = replayed(log(cell)).difference
    assert found is not None
    assert (found.fault, found.now) == (Fault.DECIDED_OTHERWISE, "")


@pytest.mark.parametrize("what", ["changed", "gone", "receipt", "later"])
def test_a_log_that_was_tampered_with_is_found(cell: SmallCell, what: str) -> None:
    story(cell)
    events = log(cell)
    at = next(n for n, r in enumerate(events) if isinstance(r.event, Placed))
    receipt = max(n for n, r in enumerate(events[:at]) if isinstance(r.event, Decided))
    placed, decided = events[at].event, events[receipt].event
    assert isinstance(placed, Placed)
    assert isinstance(decided, Decided)
    if what == "changed":
        events[at] = events[at]._replace(event=replace(placed, reason="bribed"))
        wanted = Fault.RECORD_CHANGED
    elif what == "gone":
        del events[at]
        wanted = Fault.RECORD_CHANGED
    elif what == "receipt":
        later = max(n for n, r in enumerate(events) if isinstance(r.event, Decided))
        del events[later]
        wanted = Fault.NO_RECEIPT
    else:
        events[receipt] = events[receipt]._replace(event=replace(decided, now=decided.now + 1))
        assert replayed(events).difference is None, "placements do not depend on the time"
        digest = replace(decided, decisions="0" * 64)
        events[receipt] = events[receipt]._replace(event=digest)
        wanted = Fault.DECIDED_OTHERWISE
    found = replayed(events).difference
    assert found is not None
    assert found.fault is wanted


@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_replay_may_begin_anywhere(
    cell: SmallCell, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any position, in the middle of a step too, and from what a leader had folded."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    story(cell)
    events = log(cell)
    whole = replayed(events)
    confirmed = []
    for number, middle in enumerate(events, start=1):
        skipping, start = Replay(skip=middle.position), Snapshot()
        skipping.feed(events)
        assert skipping.finish().difference is None
        confirmed.append(skipping.tally.receipts)
        for each in events[:number]:
            start.apply(each)
        later = [each.event.read for each in events[number:] if isinstance(each.event, Decided)]
        if min(later, default=middle.position) >= middle.position:  # as a leader's own is
            kept = Replay(start, skip=middle.position)
            kept.feed(events[number:])
            assert kept.finish().difference is None
            assert kept.tally.receipts == skipping.tally.receipts
    assert confirmed == sorted(confirmed, reverse=True)
    assert whole.receipts >= confirmed[0] > confirmed[-1] == 0


def test_the_store_keeps_receipts_exactly(cell: SmallCell) -> None:
    story(cell)
    with closing(Store(cell.dsn)) as again:
        assert again.read(0, 10_000) == log(cell)
