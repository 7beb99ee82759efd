"""What of a seed's world happens: everything, or only what a shrunk failure needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random

WORK = {
    *("job", "control", "reservation", "budget", "price", "inheritance", "mig", "elsewhere"),
    *("relay", "follow", "sale"),
}
"""What people do and what a cell consists of; all else is a fault."""


@dataclass
class Plan:
    """`only` keeps some of what the seed would do, by name: `job#3`, `partition`, `partition#2`.

    Everything named has random numbers of its own, so that leaving one thing out changes no
    other. `done` is what did happen.
    """

    seed: int
    only: Collection[str] | None = None
    done: dict[str, None] = field(default_factory=dict)

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong."""
        return self.only is not None and {n.partition("#")[0] for n in self.only} <= WORK

    def random(self, name: str) -> Random:
        """The random numbers of what has this name."""
        return Random(f"{name} {self.seed}")

    def has(self, name: str) -> bool:
        """Whether it happens; then it is noted."""
        kind = name.partition("#")[0]
        if self.only is not None and name not in self.only and kind not in self.only:
            return False
        self.done[name] = None
        return True
