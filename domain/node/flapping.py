"""When a node that is lost again and again is cordoned for a while, longer each time.

Its jobs would start, be lost and start anew. Only where there is another node to run them, and
never many nodes at once: when all are lost together, the cell was away and not they.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.values.time import HOUR, MINUTE

LOSSES = 3
"""So many within `WITHIN` make a node one that flaps."""
WITHIN = HOUR
FIRST = 10 * MINUTE
LONGEST = 2 * HOUR
SHARE = 10
"""At most one node in so many is cordoned for flapping, and one in any fleet."""


@dataclass(frozen=True)
class Others:
    """The nodes beside one: how many there are, take work, and are cordoned for flapping."""

    nodes: int
    ready: int
    flapping: int


def held_until(losses: int, others: Others, now: int) -> int | None:
    """Until when (microseconds) to cordon a node lost so often within `WITHIN`; None: not at all.

    The time doubles with every loss beyond the first that counts.
    """
    if losses < LOSSES or not others.ready:
        return None
    if others.flapping and (others.flapping + 1) * SHARE > others.nodes + 1:
        return None
    return now + min(FIRST << min(losses - LOSSES, 10), LONGEST)
