"""Money: whole millionths of a currency unit, never floats."""

from __future__ import annotations

from dataclasses import dataclass

from domain.values.quantity import GIB
from domain.values.resources import Resources
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


@dataclass(frozen=True)
class Rates:
    """Micro-units of money per hour: for one CPU, one GiB of memory, one GPU of what is held."""

    cpu_micro: int = 0
    memory_gib_micro: int = 0
    gpu_micro: int = 0

    def cost(self, amount: Resources, duration_us: int) -> int:
        """What holding the amount for a time costs, as `projections/cost.py` says it in SQL."""
        return (
            charge(self.cpu_micro, amount.cpu_milli, 1000, duration_us)
            + charge(self.memory_gib_micro, amount.memory_bytes, GIB, duration_us)
            + charge(self.gpu_micro, amount.gpu_milli, 1000, duration_us)
        )
