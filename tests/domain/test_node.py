"""Node: what it offers, its loss, and what operators decide about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.errors import Conflict, Invalid
from domain.node import events as e
from domain.node import node as nodes
from domain.values.ids import NodeId
from domain.values.resources import Resources
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
