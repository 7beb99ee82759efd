"""Where the integers of nodes, demands and typical demands stand in their rows.

A node is `STRIDE` integers of `nodes`, a demand the seven of `Demand.row`, a typical demand
`TYPE` integers of `typical`: the first five of a demand and its count. numba's cache of compiled
loops looks for changes in the files of the loops, not here: who moves a column removes
`__pycache__`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Ints: TypeAlias = Any  # list[int], or an int64 array where the loops are compiled

STRIDE = 32
WHOLE = 1000  # thousandths of one GPU
CPU, MEMORY, STORAGE, NETWORK, TAKES, MODEL, DEVICES, LEFT, FREE, FRAGMENTS = range(10)
CPU_CAPACITY, MEMORY_CAPACITY = 10, 11
OWNED = 12  # seats that want the node for themselves; kept where it is asked who makes room only
GPU = 16  # then one integer a device: thousandths left
TYPE = 6
COUNT = 5
UNKNOWN = -1
NONE = -1
SHIFT = 40
MOST_SEATS = 1 << 20
MEMO = 4096
