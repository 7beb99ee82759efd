"""Usage that fades: what counts of it halves with every half-life, kept without rewriting it.

Weights grow instead of usage shrinking: an amount held from b to e adds
amount * (2^(e/H) - 2^(b/H)), and what counts at a time t is the sum divided by 2^(t/H). Whole
numbers throughout, so that every machine gets the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt

from domain.values.time import SECOND

_BITS = 64
_STEPS = 16
_ONE = 1 << _BITS
_LOG2E_MICRO = 1_442_695  # 1/ln 2, from integrating 2^x


def _roots() -> list[int]:
    roots, root = [], 2 * _ONE
    for _ in range(_STEPS):
        root = isqrt(root << _BITS)
        roots.append(root)
    return roots


_ROOTS = _roots()
"""2^(1/2), 2^(1/4), ... as fixed point."""


def half_life_us(window_seconds: int, decay_milli: int) -> int:
    """The half-life of usage that counts decay_milli/1000 of itself after the window.

    window / log2(1000/decay): the logarithm by repeated squaring, to 2^-32.
    """
    x, log = (1000 << _BITS) // decay_milli, 0
    while x >= 2 * _ONE:
        x >>= 1
        log += 1 << 32
    for bit in range(31, -1, -1):
        x = x * x >> _BITS
        if x >= 2 * _ONE:
            x >>= 1
            log += 1 << bit
    return (window_seconds * SECOND << 32) // max(1, log)


@lru_cache(4)  # all events of a transaction have one time
def weight(at: int, origin: int, half_life: int) -> int:
    """2^((at - origin)/half_life) in fixed point, `_BITS` bits after the point."""
    steps = ((at - origin) << _STEPS) // half_life
    value = _ONE
    for bit, root in enumerate(reversed(_ROOTS)):
        if steps >> bit & 1:
            value = value * root >> _BITS
    whole = steps >> _STEPS
    return value << whole if whole >= 0 else value >> -whole


@dataclass
class Faded:
    """Amounts of (gpu, cpu, memory) held now, and the weighted sum of what was held."""

    rate: tuple[int, int, int] = (0, 0, 0)
    sums: tuple[int, int, int] = (0, 0, 0)

    def change(self, amount: tuple[int, int, int], weighed: int) -> None:
        """From now on, `amount` more is held (less, where negative)."""
        g, c, m = amount
        self.rate = (self.rate[0] + g, self.rate[1] + c, self.rate[2] + m)
        sums = self.sums
        self.sums = (sums[0] - g * weighed, sums[1] - c * weighed, sums[2] - m * weighed)


@dataclass
class Usage:
    """Decayed usage by key; times in microseconds, never falling."""

    half_life: int
    origin: int | None = None
    by: dict[tuple[str, str], Faded] = field(default_factory=dict)

    def change(self, key: tuple[str, str], amount: tuple[int, int, int], at: int) -> None:
        """From `at` on the key holds `amount` more."""
        if self.origin is None:
            self.origin = at
        faded = self.by.get(key)
        if faded is None:
            faded = self.by[key] = Faded()
        faded.change(amount, weight(at, self.origin, self.half_life))

    def at(self, now: int) -> dict[tuple[str, str], tuple[int, int, int]]:
        """What counts at `now` for each key: amount times microseconds."""
        if self.origin is None:
            return {}
        weighed = weight(now, self.origin, self.half_life)
        scale = self.half_life * _LOG2E_MICRO
        return {
            key: (
                _count(faded, 0, weighed, scale),
                _count(faded, 1, weighed, scale),
                _count(faded, 2, weighed, scale),
            )
            for key, faded in self.by.items()
        }

    def set_half_life(self, half_life: int, at: int) -> None:
        """Fade at another pace from `at` on; what counts at `at` stays."""
        if self.origin is None or half_life == self.half_life:
            self.half_life = half_life
            return
        counted = self.at(at)
        self.half_life, self.origin = half_life, at
        scale = half_life * _LOG2E_MICRO
        for key, faded in self.by.items():
            totals = [value * _ONE * 1_000_000 // scale for value in counted[key]]
            g, c, m = (totals[i] - faded.rate[i] * _ONE for i in range(3))
            faded.sums = (g, c, m)


def _count(faded: Faded, number: int, weighed: int, scale: int) -> int:
    total = faded.sums[number] + faded.rate[number] * weighed
    return total * scale // (weighed * 1_000_000)
