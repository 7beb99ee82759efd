"""Money: whole millionths of a currency unit, never floats."""

from __future__ import annotations

from domain.values.time import HOUR

MICRO = 1_000_000


def charge(micro_per_hour: int, milli: int, duration_us: int) -> int:
    """What `milli` thousandths of a unit cost over a time, in micro-units of money.

    micro_per_hour * milli/1000 * duration/hour, rounded half to even once, so that the same
    interval always gives the same amount. Inputs must not be negative.
    """
    if micro_per_hour < 0 or milli < 0 or duration_us < 0:
        raise ValueError("price, quantity and duration must not be negative")
    numerator, denominator = micro_per_hour * milli * duration_us, 1000 * HOUR
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        whole += 1
    return whole
