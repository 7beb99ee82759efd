"""Arrivals: what jobs ask for as a rule, counted as they are submitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.job.spec import JobSpec

PERIOD = 1024
"""After so many submissions counts are halved: what is typical follows what is asked for."""
MOST = 64
COVERED = 95
"""Typical is what makes up so many percent of the seats, the most frequent first."""


class Arrival(NamedTuple):
    """What a seat asks for, as far as it can leave fragments: `gpus` with `milli_each`, and CPU."""

    gpus: int
    milli_each: int
    cpu_milli: int
    gpu_types: tuple[str, ...] = ()


@dataclass
class Arrivals:
    """Counts of seats by arrival; `typical` is what was typical when it was last looked at.

    It is looked at after 1, 2, 4... submissions, later after every `PERIOD`: all that was scored
    by it must be scored anew.
    """

    seen: int = 0
    counts: Counter[Arrival] = field(default_factory=Counter)
    typical: tuple[tuple[Arrival, int], ...] = ()

    def add(self, spec: JobSpec) -> None:
        """A job was submitted. Instances leave no fragments of GPUs as such."""
        if spec.mig:
            return
        want = spec.resources
        arrival = Arrival(want.gpus, want.milli_each, want.cpu_milli, spec.gpu_types)
        self.counts[arrival] += spec.replicas
        self.seen += 1
        if self.seen % PERIOD == 0 or (self.seen < PERIOD and not self.seen & (self.seen - 1)):
            self.typical = self._most_frequent()
        if self.seen % PERIOD == 0:
            halves = {arrival: count // 2 for arrival, count in self.counts.items()}
            self.counts = Counter({a: count for a, count in halves.items() if count})

    def _most_frequent(self) -> tuple[tuple[Arrival, int], ...]:
        ranked = sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))
        left = sum(self.counts.values()) * COVERED
        found = []
        for arrival, count in ranked[:MOST]:
            found.append((arrival, count))
            left -= 100 * count
            if left <= 0:
                break
        return tuple(found)
