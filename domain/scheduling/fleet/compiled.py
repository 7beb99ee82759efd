"""The kernels compiled by numba, which is imported only with this module: large fleets.

What is compiled is kept on disk, for all loops and columns as they are now: numba itself looks only
for changes of the file that a kernel is in, and would run what was compiled for other columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
from numba.extending import register_jitable

from domain.scheduling.fleet import counts, held, kernels, layout, leaving


def form(*modules: ModuleType) -> str:
    """A hash of the code of their functions and of their numbers."""
    found = hashlib.sha256()
    for module in modules:
        for name, value in sorted(vars(module).items()):
            if isinstance(value, FunctionType):
                found.update(f"{name} {_code(value.__code__)}\n".encode())
            elif isinstance(value, int):
                found.update(f"{name} {value}\n".encode())
    return found.hexdigest()[:16]


def _code(code: CodeType) -> str:
    consts = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {consts} {code.co_names} {code.co_varnames}"


_config: Any = numba.config
# As text: nothing is read here, and pathlib is for those who do.
_folder = _config.CACHE_DIR or f"{__file__.rpartition('/')[0]}/__pycache__"
_config.CACHE_DIR = f"{_folder}/{form(counts, held, kernels, layout, leaving)}"

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
renumber = _compiled(held.renumber)
enter = _compiled(held.enter)
withdraw = _compiled(held.withdraw)
too_new = _compiled(held.too_new)
counted_on = _compiled(held.counted_on)
anybody = _compiled(held.anybody)
