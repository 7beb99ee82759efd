"""Prices: what a price list says of one GPU model."""

from __future__ import annotations

from domain.policy.events import PriceList
from domain.values.money import Rates


def rates_of(prices: PriceList | None, model: str) -> Rates:
    """The rates for what has GPUs of this model (or none); without a list nothing costs."""
    if prices is None:
        return Rates()
    named = (price.micro_per_hour for price in reversed(prices.gpus) if price.model == model)
    return Rates(prices.cpu_micro, prices.memory_gib_micro, next(named, prices.gpu_micro))
