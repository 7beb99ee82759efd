"""The kernels compiled by numba, which is imported only with this module: large fleets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import register_jitable

from domain.scheduling.fleet import gangs, kernels

for _called in (
    *("settle", "fragments", "fits", "pick", "shift", "gradient", "rate", "alike", "fill"),
    *("note", "count_in"),
):
    register_jitable(getattr(kernels, _called))
for _called in ("seats", "tightest", "seat_rack", "count_rack", "bounds"):
    register_jitable(getattr(gangs, _called))


def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(cache=True)(kernel)
    return compiled


choose = _compiled(kernels.choose)
scan = _compiled(kernels.scan)
take = _compiled(kernels.take)
gang = _compiled(gangs.gang)
fragments = _compiled(kernels.fragments)
count_each = _compiled(gangs.count_each)
sum_groups = _compiled(gangs.sum_groups)
shortages = _compiled(gangs.shortages)
put = _compiled(kernels.put)
seat_gang = _compiled(kernels.seat_gang)
