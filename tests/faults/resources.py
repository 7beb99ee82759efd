"""What long-lived processes hold: descriptors, memory, connections; and whether it only grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil
import psycopg

SPARE = 8
"""Descriptors, or connections, by which a process may hold more for good: pools fill up late."""
MIB_PER_1000 = 32
"""By how much a process may grow in 1,000 jobs."""
JUDGED_JOBS = 200
"""With fewer jobs between, growth says nothing of memory: heaps and caches are still filling."""


def lasting(values: Sequence[int]) -> int:
    """By how much the least of the last quarter is above the most of the second one.

    The first quarter is warm-up; a peak alone, early or late, is no growth.
    """
    quarter = len(values) // 4
    assert quarter > 0, "too few samples"
    return min(values[-quarter:]) - max(values[quarter : 2 * quarter])


@dataclass
class Resources:
    """Samples taken when nothing was under way, and the jobs that had run by then."""

    jobs: list[int] = field(default_factory=list)
    descriptors: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    connections: list[int] = field(default_factory=list)

    def take(self, jobs: int, pids: Mapping[str, int], dsn: str) -> None:
        """Look at the processes, and at who is connected to Postgres beside the one who asks."""
        self.jobs.append(jobs)
        for name, pid in pids.items():
            process = psutil.Process(pid)
            self.descriptors[name].append(process.num_fds())
            self.memory[name].append(process.memory_info().rss)
        with psycopg.connect(dsn) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
            assert found is not None
            self.connections.append(found[0])

    def mib_per_1000(self, name: str) -> float:
        """Lasting growth of a process's memory, in MiB for 1,000 jobs."""
        return lasting(self.memory[name]) / 2**20 * 1000 / self._jobs_between()

    def check(self) -> None:
        """Fail where something grew beyond what is allowed."""
        for name, values in {**self.descriptors, "postgres": self.connections}.items():
            assert lasting(values) <= SPARE, f"{name} holds more and more: {values}"
        if self._jobs_between() < JUDGED_JOBS:
            return
        for name in self.memory:
            assert self.mib_per_1000(name) <= MIB_PER_1000, f"{name} grows: {self.memory[name]}"

    def lines(self) -> list[str]:
        """The figures, one line a process: at the end of the first quarter, and at the end."""
        quarter = len(self.jobs) // 4
        told = [
            f"{name}: descriptors {held[quarter]} -> {held[-1]}, memory"
            f" {self.memory[name][quarter] / 2**20:.1f} -> {self.memory[name][-1] / 2**20:.1f} MiB"
            f" (lasting growth {self.mib_per_1000(name):.1f} MiB per 1,000 jobs)"
            for name, held in self.descriptors.items()
        ]
        told.append(f"connections: {self.connections[quarter]} -> {self.connections[-1]}")
        return [*told, f"{len(self.jobs)} samples over {self.jobs[-1] - self.jobs[0]} jobs"]

    def _jobs_between(self) -> int:
        """The jobs from the end of the second quarter to the begin of the last."""
        quarter = len(self.jobs) // 4
        return self.jobs[-quarter] - self.jobs[2 * quarter - 1]
