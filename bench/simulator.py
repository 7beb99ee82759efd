"""An event-driven simulator: a trace runs through an engine that says who starts when."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.trace import TraceJob


class Engine(Protocol):
    """What decides. Times are those of the trace."""

    def arrive(self, job: TraceJob) -> None:
        """The job waits from now on."""
        ...

    def finish(self, job: TraceJob, now: int) -> None:
        """A job that runs ends."""
        ...

    def decide(self, now: int) -> Iterable[tuple[TraceJob, str]]:
        """Who starts, and who stops and waits again: pairs of a job and "start" or "stop"."""
        ...

    def idle(self) -> tuple[int, float] | None:
        """How much is free now, and what of it what arrives as a rule cannot use.

        None where it knows of no nodes.
        """
        ...


@dataclass
class Idle:
    """Capacity that stood idle and what of it were fragments, both summed over time."""

    free: int = 0
    fragments: float = 0.0
    _now: tuple[int, float] = (0, 0.0)
    _at: int = 0

    def note(self, now: int, free: int, fragments: float) -> None:
        """From now on so much is free; nothing was before the first such note."""
        self.free += self._now[0] * (now - self._at)
        self.fragments += self._now[1] * (now - self._at)
        self._now, self._at = (free, fragments), now


@dataclass
class History:
    """What happened. `starts` is the last start of a job; `runs` are spans (start, end, amount).

    Amounts are of the resource that the trace is measured in. Times are whole numbers, so many
    to a `second`. `queue` has times and how many more wait from then on; `offered` how much more
    there is from then on, where that changes. `cancelled` were taken back before they ended.
    """

    jobs: Sequence[TraceJob]
    second: int = 1
    starts: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    runs: list[tuple[int, int, int]] = field(default_factory=list)
    queue: list[tuple[int, int]] = field(default_factory=list)
    offered: list[tuple[int, int]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    preemptions: int = 0
    lost: int = 0
    """Work thrown away by preemptions: amount times time."""
    idle: Idle | None = None

    @property
    def waits(self) -> list[int]:
        """From submission to the end, less the run: lost work counts as waiting."""
        return [self.ends[j.name] - j.submitted - j.run for j in self.jobs if j.name in self.ends]


def simulate(jobs: Sequence[TraceJob], engine: Engine, *, singly: bool = False) -> History:
    """Run every job to its end; jobs that the engine never starts are left without one.

    All that happens at one time is told before the engine decides, ends first; `singly` asks it
    after each event, arrivals first, as the reference mode needs.
    """
    history = History(jobs)
    arrivals = sorted(jobs, key=lambda job: job.submitted)
    ending: list[tuple[int, int, TraceJob]] = []
    running: dict[str, tuple[int, int]] = {}  # the start, and which entry of `ending` counts
    coming = count = 0
    while coming < len(arrivals) or ending:
        arrives = arrivals[coming].submitted if coming < len(arrivals) else None
        ends = ending[0][0] if ending else None
        now = min(time for time in (arrives, ends) if time is not None)
        while ending and ending[0][0] == now and not (singly and arrives == now):
            _, entry, job = heapq.heappop(ending)
            if running.get(job.name, (0, -1))[1] != entry:
                continue  # it was preempted since
            start, _ = running.pop(job.name)
            history.ends[job.name] = now
            history.runs.append((start, now, job.amount[-1]))
            engine.finish(job, now)
            if singly:
                break
        while coming < len(arrivals) and arrivals[coming].submitted == now:
            if singly and arrives != now:
                break
            engine.arrive(arrivals[coming])
            history.queue.append((now, 1))
            coming += 1
            if singly:
                break
        for job, what in engine.decide(now):
            if what == "start":
                count += 1
                history.starts[job.name] = now
                history.queue.append((now, -1))
                running[job.name] = (now, count)
                heapq.heappush(ending, (now + job.run, count, job))
            else:
                start, _ = running.pop(job.name)
                history.runs.append((start, now, job.amount[-1]))
                history.queue.append((now, 1))
                history.preemptions += 1
                history.lost += (now - start) * job.amount[-1]
        found = engine.idle()
        if found is not None:
            history.idle = history.idle or Idle()
            history.idle.note(now, *found)
    return history
