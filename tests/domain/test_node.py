"""Node: what it offers, its loss, and what operators decide about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.errors import Conflict, Invalid
from domain.node import events as e
from domain.node import node as nodes
from domain.node.flapping import Others, held_until
from domain.values.ids import NodeId
from domain.values.resources import Resources
from domain.values.time import MINUTE
from tests.domain import examples as x
from tests.scenario import Scenario

given = Scenario(nodes.evolve).given
NODE = NodeId("node-0")
OFFER = x.offer(gpus=2)
REBOOTED = replace(OFFER, boot="boot-2")
LOST = e.Lost(NODE, "boot-1")


def test_an_offer_is_recorded_when_it_says_something_new() -> None:
    given().when(nodes.register, OFFER).then(OFFER)
    given(OFFER).when(nodes.register, OFFER).then()
    given(OFFER).when(nodes.register, REBOOTED).then(REBOOTED)
    after = given(OFFER, LOST).when(nodes.register, OFFER).then(OFFER)
    assert after.alive


def test_a_new_offer_keeps_what_operators_decided() -> None:
    cordoned = e.Cordoned("fan", drain=True)
    after = given(OFFER, cordoned, LOST).when(nodes.register, REBOOTED).then(REBOOTED)
    assert (after.alive, after.cordoned, after.draining) == (True, True, True)


@pytest.mark.parametrize(
    ("offer", "code", "field"),
    [
        (replace(OFFER, devices=OFFER.devices[:1]), "bad_devices", "devices"),
        (replace(OFFER, devices=OFFER.devices[:1] * 2), "bad_devices", "devices"),
        (replace(OFFER, runners=()), "no_runner", "runners"),
        (
            replace(OFFER, capacity=Resources(2**50 + 1, 1, 2000)),
            "out_of_range",
            "capacity.cpu_milli",
        ),
        (
            replace(OFFER, capacity=Resources(1, 2**50 + 1, 2000)),
            "out_of_range",
            "capacity.memory_bytes",
        ),
    ],
)
def test_an_impossible_offer_is_refused(offer: e.Registered, code: str, field: str) -> None:
    given().when(nodes.register, offer).refused(Invalid, code, field=field)


def test_only_the_boot_whose_lease_ran_out_is_lost_and_once() -> None:
    assert not given(OFFER).when(nodes.lose, "boot-1").then(LOST).alive
    given(OFFER, LOST).when(nodes.lose, "boot-1").then()
    given(OFFER, REBOOTED).when(nodes.lose, "boot-1").then()


def test_cordon_drain_and_uncordon() -> None:
    cordoned, drained = e.Cordoned("fan"), e.Cordoned("fan", drain=True)
    given(OFFER).when(nodes.cordon, "fan", drain=False).then(cordoned)
    given(OFFER, cordoned).when(nodes.cordon, "x", drain=False).refused(
        Conflict, "already_cordoned"
    )
    given(OFFER, cordoned).when(nodes.cordon, "fan", drain=True).then(drained)
    assert not given(OFFER, drained).when(nodes.cordon, "fan", drain=False).then(cordoned).draining
    after = given(OFFER, drained).when(nodes.uncordon).then(e.Uncordoned())
    assert (after.cordoned, after.draining, after.cordon_reason) == (False, False, "")
    given(OFFER).when(nodes.uncordon).refused(Conflict, "not_cordoned")


HOUR_LOSSES = [(1, None), (2, None), (3, 10), (4, 20), (5, 40), (6, 80), (7, 120), (60, 120)]


@pytest.mark.parametrize(("losses", "minutes"), HOUR_LOSSES)
def test_a_node_that_flaps_is_cordoned_longer_each_time(losses: int, minutes: int | None) -> None:
    until = None if minutes is None else x.NOW + minutes * MINUTE
    said = [] if until is None else [e.Cordoned(f"lost {losses} times within an hour", until=until)]
    given(OFFER, LOST).when(nodes.hold_off, losses, Others(1, 1, 0), x.NOW).then(*said)


@pytest.mark.parametrize(
    ("others", "holds"),
    [
        (Others(nodes=0, ready=0, flapping=0), False),
        (Others(nodes=5, ready=0, flapping=0), False),
        (Others(nodes=1, ready=1, flapping=0), True),
        (Others(nodes=18, ready=9, flapping=1), False),
        (Others(nodes=19, ready=9, flapping=1), True),
        (Others(nodes=19, ready=9, flapping=2), False),
    ],
)
def test_only_few_nodes_are_cordoned_so_and_never_the_last(others: Others, holds: bool) -> None:
    assert (held_until(3, others, x.NOW) is not None) == holds


def test_a_cordon_for_a_while_ends_and_another_does_not() -> None:
    brief = e.Cordoned("lost 3 times within an hour", until=x.NOW)
    given(OFFER, brief).when(nodes.end_cordon, x.NOW - 1).then()
    after = given(OFFER, brief).when(nodes.end_cordon, x.NOW).then(e.Uncordoned())
    assert (after.cordoned, after.cordoned_until) == (False, None)
    given(OFFER, e.Cordoned("fan")).when(nodes.end_cordon, x.NOW).then()
    given(OFFER).when(nodes.end_cordon, x.NOW).then()


def test_what_somebody_decided_goes_before_a_cordon_for_a_while() -> None:
    brief = e.Cordoned("lost 3 times within an hour", until=x.NOW)
    given(OFFER, e.Cordoned("fan"), LOST).when(nodes.hold_off, 9, Others(1, 1, 0), x.NOW).then()
    fan = e.Cordoned("fan")
    after = given(OFFER, brief).when(nodes.cordon, "fan", False).then(fan)
    assert after.cordoned_until is None
    given(OFFER, brief).when(nodes.uncordon).then(e.Uncordoned())
