"""The kernels compiled by numba, which is imported only with this module: large fleets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import register_jitable

from domain.scheduling.fleet import kernels

_CALLED = (
    "settle", "fragments", "fits", "pick", "shift", "gradient", "rate", "alike", "fill", "note",
    "count_in", "seats", "tightest", "seat_rack", "count_rack", "bounds",
)  # fmt: skip
for _name in _CALLED:
    register_jitable(getattr(kernels, _name))


def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(cache=True)(kernel)
    return compiled


choose = _compiled(kernels.choose)
take = _compiled(kernels.take)
gang = _compiled(kernels.gang)
fragments = _compiled(kernels.fragments)
seats_in = _compiled(kernels.seats_in)
