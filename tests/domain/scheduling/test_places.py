"""Conditions on nodes, shares of GPUs, seats near each other, nodes for oneself."""

from __future__ import annotations

import pytest

from domain.errors import Invalid
from domain.job.where import Affinity, Scope, Where
from domain.policy.events import Overcommit, Score
from domain.scheduling.reason import Constraint, WaitCode
from domain.values.ids import DeviceId
from domain.values.resources import Resources
from domain.values.topology import Device, Location
from tests.domain.examples import GIB, offer
from tests.domain.scheduling.stage import Stage


def test_shares_fill_one_gpu_before_they_take_the_next() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    for number in range(3):
        stage.ask(f"share-{number}", 0.3)
    stage.ask("whole", 1)
    assert len(stage.run()) == 4
    devices = {stage.job(f"share-{n}").seats[0].devices for n in range(3)}
    assert len(devices) == 1
    stage.ask("too-much", 0.2)
    stage.run()
    assert stage.why("too-much").code is WaitCode.INSUFFICIENT_GPU
    stage.ask("rest", 0.1)
    assert stage.run() == ["rest"]


@pytest.mark.parametrize(
    ("where", "constraint"),
    [
        (Where(pools=("a100",)), Constraint.POOL),
        (Where(selector=(("zone", "b"),)), Constraint.SELECTOR),
        (Where(constraint="gpus >= 4 and labels.zone == 'a'"), Constraint.CONSTRAINT),
        (Where(), Constraint.TAINT),
    ],
)
def test_a_node_that_does_not_qualify_is_named_with_the_condition(
    where: Where, constraint: Constraint
) -> None:
    stage = Stage()
    taints = ("reserved",) if constraint is Constraint.TAINT else ()
    stage.node("n1", gpus=2, pool="other", labels=(("zone", "a"),), taints=taints)
    stage.ask("job", 1, where=where)
    assert stage.run() == []
    assert stage.why("job").code is WaitCode.NOT_ELIGIBLE
    assert [(x.constraint, x.nodes) for x in stage.why("job").excluded] == [(constraint, 1)]


def test_a_node_that_qualifies_is_taken() -> None:
    stage = Stage()
    labels = (("zone", "a"),)
    stage.node("n1", gpus=2)
    stage.node("n2", gpus=2, pool="p", labels=labels, taints=("mine",), location=Location("r9"))
    where = Where(("p",), labels, "rack in ['r9'] and not gpus < 2", ("mine",))
    stage.ask("job", 1, where=where)
    assert stage.run() == ["job"]
    assert stage.nodes_of("job") == ["n2"]


@pytest.mark.parametrize(
    "text",
    [
        "gpus",
        "gpus == 'a'",
        "gpus >= 1.5",
        "__import__('os')",
        "gpus.__class__ == 1",
        "(lambda: 1)() == 1",
        "gpus in rack",
        "colour == 'red'",
        "True == 1",
        "gpus == 1 == 1",
        "not",
        "(" * 500,
        "rack == 'x'" + " or rack == 'x'" * 100,
    ],
)
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Where(constraint=text)
    assert refused.value.facts["field"] == "where.constraint"


def test_a_gang_stays_in_the_tightest_rack_that_takes_all_of_it() -> None:
    stage = Stage()
    for rack, nodes in (("a", 4), ("b", 2), ("c", 1)):
        for number in range(nodes):
            stage.node(f"{rack}{number}", gpus=2, location=Location(rack, "s1"))
    stage.ask("gang", 2, replicas=2)
    assert stage.run() == ["gang"]
    assert stage.nodes_of("gang") == ["b0", "b1"]


def test_seats_that_must_be_together_wait_for_it() -> None:
    stage = Stage()
    stage.node("a0", gpus=2, location=Location("a"))
    stage.node("b0", gpus=2, location=Location("b"))
    where = Where(together=Scope.RACK, together_required=True)
    stage.ask("near", 2, replicas=2, where=where)
    stage.ask("far", 2, replicas=2)
    assert stage.run() == ["far"]
    stage.end_all("far")
    assert stage.why("near").code in (WaitCode.NEVER_FITS, WaitCode.SCATTERED)
    stage.node("a1", gpus=2, location=Location("a"))
    assert stage.run() == ["near"]
    assert stage.nodes_of("near") == ["a0", "a1"]


def test_jobs_stay_away_from_each_other_and_near_to_each_other() -> None:
    stage = Stage()
    for name in ("n1", "n2"):
        stage.node(name, gpus=4)
    server = (("role", "server"),)
    apart = Where(affinity=(Affinity(server[0], avoid=True),))
    stage.ask("one", 1, labels=server, where=apart)
    stage.run()
    stage.ask("two", 1, labels=server, where=apart)
    assert stage.run() == ["two"]
    assert stage.nodes_of("one") != stage.nodes_of("two")
    stage.ask("three", 1, labels=server, where=apart)
    stage.run()
    assert stage.why("three").code is WaitCode.AFFINITY
    near = Where(affinity=(Affinity(("role", "client")),))
    stage.ask("lonely", 1, where=near)
    assert stage.run() == []
    stage.ask("client", 1, labels=(("role", "client"),))
    stage.run()
    assert stage.run() == ["lonely"]
    assert stage.nodes_of("lonely") == stage.nodes_of("client")


def test_a_gang_that_avoids_itself_takes_a_node_for_each_seat() -> None:
    stage = Stage()
    stage.node("n1", gpus=4)
    stage.node("n2", gpus=4)
    me = ("app", "x")
    stage.ask(
        "gang", 1, replicas=2, labels=(me,), where=Where(affinity=(Affinity(me, avoid=True),))
    )
    assert stage.run() == ["gang"]
    assert sorted(stage.nodes_of("gang")) == ["n1", "n2"]


def test_a_wish_orders_but_does_not_forbid() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    label = ("app", "x")
    wish = Where(affinity=(Affinity(label, avoid=True, required=False),))
    stage.ask("one", 1, labels=(label,))
    stage.run()
    stage.ask("two", 1, where=wish)
    assert stage.run() == ["two"]


def test_a_node_for_oneself_is_empty_before_and_closed_after() -> None:
    stage = Stage()
    stage.node("n1", gpus=2)
    stage.ask("small", 1)
    stage.run()
    stage.ask("alone", 1, where=Where(exclusive=True))
    stage.run()
    assert stage.why("alone").code is WaitCode.NODE_IN_USE
    stage.end_all("small")
    assert stage.run() == ["alone"]
    stage.ask("other", 1)
    stage.run()
    assert stage.why("other").code is WaitCode.NODE_IN_USE


def test_gpus_of_a_seat_come_from_one_island() -> None:
    stage = Stage()
    devices = tuple(
        Device(DeviceId(f"g{n}"), "A100", 80 * GIB, island="left" if n < 2 else "right")
        for n in range(5)
    )
    stage.offer(offer("n1", devices=devices, capacity=Resources(8000, GIB, 5000)))
    stage.ask("one", 1)
    stage.run()
    assert stage.job("one").seats[0].devices == ("g0",)
    stage.ask("pair", 2)
    stage.run()
    assert stage.job("pair").seats[0].devices == ("g2", "g3")


def test_a_pool_can_promise_more_cpu_than_it_has() -> None:
    stage = Stage()
    stage.node("n1")
    stage.policy(overcommit=(Overcommit("cpu", cpu_milli=2000),))
    for number in range(3):
        stage.ask(f"j{number}", 0, resources=Resources(8000))
    assert len(stage.run()) == 2


def test_storage_and_network_are_given_away_once() -> None:
    stage = Stage()
    stage.node("n1", capacity=Resources(8000, GIB, 0, storage_bytes=100, network_mbps=10))
    stage.ask("disk", 0, resources=Resources(storage_bytes=80))
    stage.ask("more", 0, resources=Resources(storage_bytes=30))
    stage.ask("net", 0, resources=Resources(network_mbps=11))
    assert stage.run() == ["disk"]
    assert stage.why("more").code is WaitCode.INSUFFICIENT_STORAGE
    assert stage.why("net").code is WaitCode.NEVER_FITS


def test_spread_takes_the_emptiest_and_pack_the_fullest() -> None:
    for score, nodes in ((Score.PACK, 1), (Score.SPREAD, 2)):
        stage = Stage()
        stage.policy(score=score)
        stage.node("n1", gpus=4)
        stage.node("n2", gpus=4)
        stage.ask("one")
        stage.ask("two")
        stage.run()
        assert len({*stage.nodes_of("one"), *stage.nodes_of("two")}) == nodes
