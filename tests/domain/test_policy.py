"""Policy: the scheduler's settings and prices, each change counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.errors import Invalid
from domain.policy import events as e
from domain.policy import policy as policies
from domain.policy.events import GpuPrice, SchedulerSettings
from domain.policy.policy import DEFAULT_PRICES, Policy
from tests.scenario import Scenario

given = Scenario(policies.evolve, Policy()).given
CAREFUL = SchedulerSettings(enable_preemption=False, grace_seconds=60)


def test_a_change_is_recorded_and_counted_when_it_is_one() -> None:
    set_careful, set_prices = e.SchedulerSet(CAREFUL), e.PricesSet(DEFAULT_PRICES)
    after = given().when(policies.set_scheduler, CAREFUL).then(set_careful)
    assert (after.version, after.scheduler) == (1, CAREFUL)
    given(set_careful).when(policies.set_scheduler, CAREFUL).then()
    after = given(set_careful).when(policies.set_prices, DEFAULT_PRICES).then(set_prices)
    assert (after.version, after.prices, after.scheduler) == (2, DEFAULT_PRICES, CAREFUL)
    given(set_prices).when(policies.set_prices, DEFAULT_PRICES).then()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"grace_seconds": 86_401}, "grace_seconds"),
        ({"interval_seconds": 0}, "interval_seconds"),
        ({"interval_seconds": 3601}, "interval_seconds"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    given().when(policies.set_scheduler, SchedulerSettings(**change)).refused(
        Invalid, "out_of_range", field=field
    )


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"currency": "usd"}, "bad_currency", "currency"),
        ({"currency": "EURO"}, "bad_currency", "currency"),
        ({"gpus": (GpuPrice("A100", 1), GpuPrice("A100", 2))}, "duplicate_model", "gpus"),
        ({"cpu_micro": -1}, "out_of_range", "cpu (micro-units an hour)"),
        ({"memory_gib_micro": 10**15 + 1}, "out_of_range", "memory_gib (micro-units an hour)"),
        ({"gpu_micro": -1}, "out_of_range", "gpu (micro-units an hour)"),
        ({"gpus": (GpuPrice("A100", -1),)}, "out_of_range", "gpus.A100 (micro-units an hour)"),
    ],
)
def test_a_bad_price_list_is_refused_by_name(change: dict[str, Any], code: str, field: str) -> None:
    given().when(policies.set_prices, replace(DEFAULT_PRICES, **change)).refused(
        Invalid, code, field=field
    )
