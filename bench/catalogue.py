"""Every benchmark there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import start, submit, truejobs
from bench.report import Row


@dataclass(frozen=True)
class Bench:
    """A benchmark: what it measures, its usual size and number of rounds, and how it runs.

    `run` takes size, rounds, and whether peers are measured too.
    """

    about: str
    size: int
    runs: int
    run: Callable[[int, int, bool], list[Row]]


BENCHES = {
    "submit": Bench("single submissions a second over HTTP, 4 clients", 2000, 3, submit.run),
    "start": Bench("milliseconds from submission to a running job", 50, 3, start.run),
    "truejobs": Bench("seconds for real `true` jobs, batched and singly", 1000, 3, truejobs.run),
}
