"""Who is measured, and how rounds are run: each system alone, one after the other, in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from bench.report import Round

CLIENTS = 4
SLOTS = 128
"""How many jobs each system may run at once, so that none waits for a pretended CPU."""


class Submits(Protocol):
    """A system that takes jobs. Every submission must succeed, or RuntimeError."""

    def submit(self, count: int) -> float:
        """Seconds in which CLIENTS clients submitted jobs that are not to start."""
        ...


class Runs(Protocol):
    """A way to run jobs. Every job must succeed, or RuntimeError."""

    def starts(self, count: int) -> list[float]:
        """Milliseconds from just before each submission to the clock as its job reads it."""
        ...

    def batch(self, count: int) -> float:
        """Seconds from submitting `true` jobs together until all have finished."""
        ...

    def singles(self, count: int) -> float:
        """Seconds from submitting `true` jobs one by one, by CLIENTS clients, until all did."""
        ...


Target = TypeVar("Target")
Target_co = TypeVar("Target_co", covariant=True)


@dataclass(frozen=True)
class Contestant(Generic[Target_co]):
    """A system that may be here. `missing` says why it is not; `running` starts it in a folder."""

    name: str
    missing: Callable[[], str]
    running: Callable[[Path], AbstractContextManager[Target_co]]


def present(contestants: Sequence[Contestant[Target]]) -> list[Contestant[Target]]:
    """Those that are installed; the others are said on stderr."""
    found = []
    for contestant in contestants:
        reason = contestant.missing()
        if reason:
            print(f"not measured: {contestant.name}: {reason}", file=sys.stderr)
        else:
            found.append(contestant)
    return found


def rounds(
    runs: int, contestants: Sequence[Contestant[Target]], measure: Callable[[str, Target], Round]
) -> list[Round]:
    """Measure each contestant once in every round, freshly started, with nothing else running."""
    found: list[Round] = []
    for number in range(1, runs + 1):
        values: dict[str, float] = {}
        for contestant in contestants:
            print(f"round {number} of {runs}: {contestant.name}", file=sys.stderr)
            with (
                tempfile.TemporaryDirectory(prefix="compute-bench-") as folder,
                contestant.running(Path(folder)) as target,
            ):
                values.update(measure(contestant.name, target))
        found.append(values)
    return found
