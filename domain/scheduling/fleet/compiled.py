"""The kernels compiled by numba, which is imported only with this module: large fleets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.extending import register_jitable

from domain.scheduling.fleet import counts, held, kernels, leaving

for _called in (
    *("settle", "fragments", "fits", "pick", "shift", "level", "gradient", "rate", "alike", "fill"),
    "note",
):
    register_jitable(getattr(kernels, _called))
register_jitable(counts.seats)
for _called in (
    *("give", "takes", "qualifies", "load", "change", "enough", "lost", "before", "holds_until"),
    *("line_up", "asks", "head", "sift", "behind"),
):
    register_jitable(getattr(leaving, _called))


def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(cache=True)(kernel)
    return compiled


choose = _compiled(kernels.choose)
scan = _compiled(kernels.scan)
take = _compiled(kernels.take)
fragments = _compiled(kernels.fragments)
count_each = _compiled(counts.count_each)
sum_groups = _compiled(counts.sum_groups)
shortages = _compiled(counts.shortages)
put = _compiled(kernels.put)
seat_gang = _compiled(kernels.seat_gang)
could = _compiled(leaving.could)
enough = _compiled(leaving.enough)
first = _compiled(leaving.first)
begin = _compiled(leaving.begin)
leave = _compiled(leaving.leave)
gather = _compiled(leaving.gather)
spare = _compiled(leaving.spare)
asks = leaving.asks
enter = _compiled(held.enter)
withdraw = _compiled(held.withdraw)
too_new = _compiled(held.too_new)
counted_on = _compiled(held.counted_on)
anybody = _compiled(held.anybody)
