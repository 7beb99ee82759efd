"""The audit of a cell: replay, explanation and rehearsal, from the log that its processes wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from domain.errors import Invalid, NotFound
from domain.job.events import PreemptionRequested
from domain.policy.events import GpuPrice, PriceList, PricesSet
from domain.project.events import Quota
from domain.scheduling.events import Decided
from domain.scheduling.rehearse import Otherwise, rehearse
from domain.scheduling.script import script
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import ProjectId
from domain.values.time import SECOND, to_text
from infra.snapshots import Snapshots
from infra.store import Change, stream_of
from processors.audit.explain import explain
from processors.audit.moments import position_of
from processors.audit.replaying import replay
from processors.audit.whatif import Fleet, Wish, whatif
from tests.processors.small_cell import META, SmallCell, settle

PRICES = PriceList("USD", 3_600_000, 0, 0, (GpuPrice("H100", 0),))
"""A CPU costs 1,000 millionths a second."""


def story(cell: SmallCell) -> None:
    """Two small jobs run, a large one waits, an urgent one takes their place."""
    prices = Change(stream_of("policy", "cell"), 0, [PricesSet(PRICES)], META)
    cell.store.append([prices])
    cell.register("node-1", cpus=2)
    for name in ("a", "b"):
        cell.submit(name)
    leader = cell.scheduler()
    settle(leader)
    cell.start("a")
    cell.start("b")
    cell.submit("large", resources=cell.cpus(2))
    settle(leader)
    cell.submit("urgent", priority=9, resources=cell.cpus(1))
    settle(leader)
    victim = cell.happened(PreemptionRequested)
    assert len(victim) == 1


def kept(cell: SmallCell) -> Snapshots:
    return Snapshots(cell.dsn)


def test_a_replay_confirms_what_was_decided(cell: SmallCell) -> None:
    story(cell)
    told: list[int] = []
    head = cell.store.head()
    found = replay(cell.store, None, 0, head, told.append)
    assert found["difference"] is None
    assert found["receipts"] == len(cell.happened(Decided))
    assert told[-1] == head


def test_a_waiting_job_is_explained_with_the_queue_around_it(cell: SmallCell) -> None:
    story(cell)
    found = explain(cell.store, kept(cell), "large", cell.store.head())
    assert (found.phase, found.decision is not None) == ("queued", True)
    decision = found.decision
    assert decision is not None
    assert (decision.name, decision.confirmed) == ("job.wait_explained.v1", True)
    assert decision.cycle is not None
    assert [entry.job for entry in decision.cycle.queue] == ["large"]
    assert found.moment is not None
    assert [entry.job for entry in found.moment.queue] == ["urgent", "large"]
    assert found.moment.queue[0].code == "preempting"


def test_a_victim_is_told_for_whom_and_the_past_is_told_as_it_was(cell: SmallCell) -> None:
    story(cell)
    asked = next(r for r in cell.store.read(0, 1000) if isinstance(r.event, PreemptionRequested))
    victim = asked.stream.partition("/")[2]
    now = explain(cell.store, kept(cell), victim, cell.store.head()).decision
    assert now is not None
    assert now.cycle is not None
    assert (now.name, now.confirmed) == ("job.preemption_requested.v1", True)
    urgent = next(entry for entry in now.cycle.queue if entry.job == "urgent")
    assert victim in urgent.text
    given = max(r.position for r in cell.store.read(0, 1000) if r.recorded_at < asked.recorded_at)
    before = explain(cell.store, kept(cell), victim, given)
    assert before.phase == "running"
    assert before.decision is not None
    assert before.decision.name == "job.started.v1"
    assert before.decision.confirmed


def test_a_placed_job_is_told_who_else_was_placed(cell: SmallCell) -> None:
    story(cell)
    placed = next(r for r in cell.store.stream(stream_of("job", "a")) if "placed" in r.event.topic)
    decision = explain(cell.store, kept(cell), "a", placed.position).decision
    assert decision is not None
    assert decision.cycle is not None
    assert decision.position == placed.position
    assert [entry.job for entry in decision.cycle.placed] == ["b"]
    assert decision.cycle.queue[0].text == "placed on node-1"


def test_a_job_of_later_is_not_known_yet(cell: SmallCell) -> None:
    story(cell)
    first = cell.store.stream(stream_of("job", "urgent"))[0].position
    with pytest.raises(NotFound):
        explain(cell.store, kept(cell), "urgent", first - 1)
    undecided = explain(cell.store, kept(cell), "urgent", first + 1)
    assert undecided.decision is None
    assert undecided.moment is not None


def test_a_moment_is_a_position_or_a_time(cell: SmallCell) -> None:
    story(cell)
    events = cell.store.read(0, 1000)
    for recorded in events:
        at = position_of(cell.connection, to_text(recorded.recorded_at), "at", 0)
        same = [r.position for r in events if r.recorded_at == recorded.recorded_at]
        assert at == max(same)
    assert position_of(cell.connection, "7", "at", 0) == 7
    assert position_of(cell.connection, None, "at", 3) == 3
    assert position_of(cell.connection, "1999-01-01T00:00:00Z", "at", 3) == 0
    assert position_of(cell.connection, "2999-01-01T00:00:00+02:00", "at", 3) == cell.store.head()
    for wrong in ("yesterday", "2026-01-01T00:00:00", "-1", "9" * 30):
        with pytest.raises(Invalid, match="bad_moment"):
            position_of(cell.connection, wrong, "at", 0)


def ran(cell: SmallCell) -> None:
    """`story`, and all of it ends well."""
    story(cell)
    leader = cell.scheduler()
    live = {"a", "b", "large", "urgent"}
    while live:
        settle(leader)
        for name in sorted(live):
            job = cell.job(name)
            if job.phase.value in ("starting", "preempting", "running"):
                cell.start(name)
                cell.end(name)
        settle(leader)
        live = {name for name in live if cell.phase(name) != "succeeded"}


def test_a_rehearsal_of_the_same_is_near_what_happened(cell: SmallCell) -> None:
    ran(cell)
    found = whatif(cell.store, kept(cell), 0, cell.store.head(), Wish())
    happened, same = (found[name]["projects"]["ml"] for name in ("happened", "as_recorded"))
    assert happened["submitted"] == same["submitted"] == 4
    assert happened["preempted"] == same["preempted"] == 1
    assert happened["cost_micro"] > 0
    assert found["as_wished"] == found["as_recorded"]
    assert found["happened"]["cpu"]["there_milli_us"] == same_capacity(found)


def same_capacity(found: dict[str, Any]) -> int:
    return int(found["as_recorded"]["cpu"]["there_milli_us"])


def test_without_preemption_nobody_is_preempted(cell: SmallCell) -> None:
    ran(cell)
    wish = Wish(policy={"enable_preemption": False})
    found = whatif(cell.store, kept(cell), 0, cell.store.head(), wish)
    assert found["as_recorded"]["projects"]["ml"]["preempted"] == 1
    assert found["as_wished"]["projects"]["ml"]["preempted"] == 0


def test_more_nodes_shorten_the_wait_and_a_quota_lengthens_it(cell: SmallCell) -> None:
    ran(cell)
    head = cell.store.head()
    same = whatif(cell.store, kept(cell), 0, head, Wish())["as_recorded"]["projects"]["ml"]
    more = whatif(cell.store, kept(cell), 0, head, Wish(nodes=(Fleet(2, ""),)))["as_wished"]
    assert more["projects"]["ml"]["wait_us"] < same["wait_us"]
    assert more["projects"]["ml"]["preempted"] == 0
    assert more["cpu"]["there_milli_us"] > same_capacity({"as_recorded": more}) // 2
    wish = Wish(quotas={"ml": Quota(cpu_milli=0)})
    none = whatif(cell.store, kept(cell), 0, head, wish)["as_wished"]["projects"]["ml"]
    assert (none["placed"], none["unplaced"], none["cost_micro"]) == (0, 4, 0)
    fewer = whatif(cell.store, kept(cell), 0, head, Wish(nodes=(Fleet(-1, ""),)))["as_wished"]
    assert fewer["projects"]["ml"]["placed"] == 0


def test_a_window_may_begin_in_the_middle(cell: SmallCell) -> None:
    ran(cell)
    events = cell.store.read(0, 1000)
    for recorded in events:
        if recorded.recorded_at == events[-1].recorded_at:
            break
        found = whatif(cell.store, kept(cell), recorded.position, events[-1].position, Wish())
        assert found["happened"]["projects"].keys() <= {"ml"}


def test_wishes_that_cannot_be_are_refused_by_name(cell: SmallCell) -> None:
    ran(cell)
    head = cell.store.head()
    for wish, field in (
        (Wish(policy={"grace": 1}), "policy.grace"),
        (Wish(policy={"grace_seconds": "soon"}), "policy"),
        (Wish(nodes=(Fleet(-2, ""),)), "nodes"),
        (Wish(nodes=(Fleet(-1, "H100"),)), "nodes"),
    ):
        with pytest.raises(Invalid) as refused:
            whatif(cell.store, kept(cell), 0, head, wish)
        assert refused.value.facts["field"] == field
    with pytest.raises(Invalid, match="empty_window"):
        whatif(cell.store, kept(cell), head, head, Wish())


def test_limits_end_what_has_no_recorded_end(cell: SmallCell) -> None:
    cell.register("node-1", cpus=1)
    cell.submit("long", time_limit_seconds=1)
    cell.submit("open")
    leader = cell.scheduler()
    settle(leader)
    cell.start("long")
    settle(leader)
    events = cell.store.read(0, 1000)
    at, later = events[0].recorded_at, events[-1].recorded_at + 3600 * SECOND
    told = script(Snapshot(), at, events)
    found = rehearse(Snapshot(), at, later, told, Otherwise())
    account = found.report.accounts[ProjectId("ml")]
    assert (account.placed, account.ended, found.unknown) == (2, 1, 1)


def ask(dsn: str, kind: str, request: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "processors.audit", kind],
        input=json.dumps(request).encode(),
        capture_output=True,
        env={"COMPUTE_DATABASE_URL": dsn},
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_it_answers_as_a_process_of_its_own(cell: SmallCell) -> None:
    story(cell)
    code, lines = ask(cell.dsn, "replay", {"begin": "0"})
    assert (code, lines[-1]["result"]["difference"]) == (0, None)
    code, lines = ask(cell.dsn, "explain", {"job": "none"})
    assert code == 1
    assert lines[-1]["refusal"]["code"] == "no_such_job"
