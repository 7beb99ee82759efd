"""Where the integers of nodes, demands and typical demands stand in their rows.

A node is `STRIDE` integers of `nodes`, a demand the seven of `Demand.row`, a typical demand
`TYPE` integers of `typical`: the first five of a demand and its count. A job that may be asked to
leave is `JOB` integers of `jobs`, each of its seats `SEAT` integers of `seats`, the seats on a node
are `SPAN` integers of `spans`.
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

SEAT = 9
WHO, WHERE, CPUS, BYTES, DISK, NET, EACH, ON, OWNS = range(SEAT)
"""The slot of the job that has it, its node, what it gives back there, whether it owns the node."""
JOB = 12
PRIORITY, SINCE, WEIGHT, STARTED, MICROS, SORT, FROM, SEATS, ID = range(9)
"""Work is lost since then, so many thousandths at a time; it started then (NONE: it did not) and is
expected to run so long (NONE: nobody knows). `SORT` numbers whose it is and how much it holds. Its
seats are `SEATS`, from `FROM` on; the last four integers are its id. Slots that are free have a
priority of NEVER, work that starts NEVER is never lost."""
NEVER = 2**62
SPAN = 13
FIRST, COUNTED, PLACES, LINED, UNTIL, VERSION, HEAD, HEAD_SINCE, HEAD_WEIGHT, HEAD_ID = range(10)
"""What begins with HEAD is of the first in line: priority, what it loses since when, and the id."""
