"""Money: whole millionths of a currency unit, never floats."""

from __future__ import annotations

from domain.values.time import HOUR

MICRO = 1_000_000


def charge(micro_per_hour: int, amount: int, unit: int, duration_us: int) -> int:
    """What `amount` of something priced per `unit` and hour costs over a time, in micro-units.

    micro_per_hour * amount/unit * duration/hour, rounded half up once, so that the same interval
    always gives the same sum here and in SQL. Inputs must not be negative.
    """
    if micro_per_hour < 0 or amount < 0 or duration_us < 0:
        raise ValueError("price, amount and duration must not be negative")
    numerator, denominator = micro_per_hour * amount * duration_us, unit * HOUR
    return (2 * numerator + denominator) // (2 * denominator)
