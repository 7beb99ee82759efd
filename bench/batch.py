"""Batch traces run through the batch rules: who waited how long, and how full the machine was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from domain.scheduling.batch import (
    BOUND,
    BatchBackfill,
    BatchJob,
    Key,
    Running,
    head,
    shadow,
    starts,
)


@dataclass(frozen=True)
class Outcome:
    """What became of a window of jobs; waits in seconds, by job."""

    slowdown: float
    utilisation: float
    max_wait: int
    waits: dict[int, int]


def read_swf(path: Path) -> list[BatchJob]:
    """The jobs of a trace in the Standard Workload Format, version 2.2.

    Fields: 1 id, 2 submit, 4 run, 5 and 8 processors, 9 requested time, 12 user. Where a field says
    -1 the other one counts; jobs without processors or run time are left out. SystemExit names the
    line that is none.
    """
    jobs = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";"):
            continue
        try:
            job, submit, run = int(fields[0]), int(fields[1]), int(float(fields[3]))
            processors = int(fields[4]) if int(fields[4]) > 0 else int(fields[7])
            estimate, user = int(float(fields[8])), int(fields[11])
        except (ValueError, IndexError):
            raise SystemExit(f"{path}:{number}: not a line of 18 numbers (SWF 2.2)") from None
        if processors > 0 and run > 0:
            estimate = estimate if estimate > 0 else run
            jobs.append(BatchJob(job, submit, processors, run, estimate, user))
    return jobs


def simulate(
    jobs: Sequence[BatchJob], processors: int, order: Key, backfill: BatchBackfill
) -> Outcome:
    """Run the jobs on an empty machine, from the arrival of the first to the end of the last."""
    too_large = next((job for job in jobs if job.processors > processors), None)
    if too_large is not None:
        raise SystemExit(f"--processors: job {too_large.id} wants {too_large.processors}")
    machine = _Machine(list(jobs), processors)
    if backfill in (BatchBackfill.NONE, BatchBackfill.REFERENCE):
        _committed(machine, order, backfill is BatchBackfill.REFERENCE)
    else:
        while machine.step():
            running = list(machine.running.values())
            for job in starts(machine.waiting, running, machine.free, machine.now, order, backfill):
                machine.start(job)
    return machine.outcome()


class _Machine:
    """Jobs that come, wait, run and end; time moves from one such event to the next."""

    def __init__(self, jobs: list[BatchJob], processors: int) -> None:
        self.jobs = jobs
        self.processors = processors
        self.free = processors
        self.now = jobs[0].submit
        self.waiting: list[BatchJob] = []
        self.running: dict[int, Running] = {}
        self.waits: dict[int, int] = {}
        self._next = 0
        self._ends: list[tuple[int, int]] = []

    def start(self, job: BatchJob) -> None:
        self.waiting.remove(job)
        self.free -= job.processors
        self.waits[job.id] = self.now - job.submit
        self.running[job.id] = Running(job, self.now + job.estimate)
        heappush(self._ends, (self.now + job.run, job.id))

    def step(self) -> bool:
        """Go on to the next arrival or end; whether there was one."""
        arrival = self.jobs[self._next].submit if self._next < len(self.jobs) else None
        end = self._ends[0][0] if self._ends else None
        if arrival is None and end is None:
            return False
        if end is None or (arrival is not None and arrival <= end):
            assert arrival is not None
            self.now = max(self.now, arrival)
            self.waiting.append(self.jobs[self._next])
            self._next += 1
        else:
            self.now = end
            _, ended = heappop(self._ends)
            self.free += self.running.pop(ended).job.processors
        return True

    def outcome(self) -> Outcome:
        by_id = {job.id: job for job in self.jobs}
        slowdowns = [
            max(1.0, (wait + by_id[n].run) / max(by_id[n].run, BOUND))
            for n, wait in self.waits.items()
        ]
        begin = self.jobs[0].submit
        last = max(job.submit + self.waits[job.id] + job.run for job in self.jobs)
        area = sum(job.processors * job.run for job in self.jobs)
        return Outcome(
            sum(slowdowns) / len(slowdowns),
            area / (self.processors * max(1, last - begin)),
            max(self.waits.values()),
            self.waits,
        )


def _committed(machine: _Machine, order: Key, backfill: bool) -> None:
    """RLScheduler's rules: a head once chosen is waited for, whatever comes meanwhile."""
    machine.step()
    while machine.waiting or machine.step():
        if not machine.waiting:
            continue
        job = head(machine.waiting, order, machine.now)
        if job.processors > machine.free:
            until, _ = shadow(machine.running.values(), machine.free, job.processors)
            while job.processors > machine.free:
                if backfill:
                    _fill(machine, job, until)
                machine.step()
        machine.start(job)


def _fill(machine: _Machine, job: BatchJob, until: int) -> None:
    for other in sorted(machine.waiting, key=lambda j: (j.submit, j.id)):
        fits = other.processors <= machine.free and machine.now + other.estimate < until
        if other is not job and fits:
            machine.start(other)
