"""A platform's own log as a trace: what happened, and the same rehearsed by today's planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.fragments import Fragments
from bench.simulator import History, Idle
from bench.trace import TraceJob
from domain.allocation.events import Granted
from domain.allocation.seat import Outcome
from domain.checkpoint.events import Committed
from domain.event import Recorded
from domain.job import events as e
from domain.node.events import NodeEvent, Registered
from domain.scheduling.rehearse import Otherwise, rehearse
from domain.scheduling.script import script
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import JobId, NodeId
from domain.values.resources import Resources
from domain.values.time import SECOND
from infra.codec import FAULTS


@dataclass
class _Turn:
    """A job from its first moment in the queue to its end, which it may have yet to come to."""

    name: str
    user: str
    since: int
    waits: bool = False
    runs: bool = False
    asked: bool = False
    start: int = 0
    saved: int = 0
    amount: int = 0
    end: int | None = None
    cancelled: bool = False


class Watch:
    """Makes a history of events, each seen with the snapshot that it left.

    A job's submission is its first moment in the queue, its run the last one; what it did before
    that counts as waiting, as in other traces. One that is reopened after its end is another.
    """

    def __init__(self, *, gpus: bool) -> None:
        """Amounts are thousandths of GPUs, or of CPUs."""
        self._gpus = gpus
        self._history = History([], second=SECOND, idle=Idle())
        self._live: dict[JobId, _Turn] = {}
        self._turns: list[_Turn] = []
        self._offered: dict[NodeId, int] = {}
        self._fragments = Fragments()

    def see(self, snapshot: Snapshot, recorded: Recorded) -> None:
        """The snapshot has just taken in this event."""
        event, name = recorded.event, recorded.stream.partition("/")[2]
        if isinstance(event, e.JobEvent):
            self._job(JobId(name), recorded, event)
        elif isinstance(event, Granted):
            self._live[event.job].amount = self._amount(event.per_seat * len(event.seats))
        elif isinstance(event, Committed) and event.job in self._live:
            self._live[event.job].saved = recorded.recorded_at
        elif isinstance(event, NodeEvent):
            node = snapshot.nodes[NodeId(name)].node
            there = self._amount(node.offer.capacity) if node.alive else 0
            more = there - self._offered.get(node.id, 0)
            self._offered[node.id] = there
            self._history.offered.append((recorded.recorded_at, more))
        self._fragments.see(snapshot, recorded)
        assert self._history.idle is not None, "it was made with one"
        found = self._fragments
        self._history.idle.note(recorded.recorded_at, found.free, found.lost)

    def close(self, at: int) -> History:
        """The history, as of its end."""
        found = self._history
        assert found.idle is not None, "it was made with one"
        found.idle.note(at, 0, 0.0)
        jobs = []
        for turn in self._turns:
            run = 0
            if turn.end is not None:
                found.starts[turn.name], found.ends[turn.name] = turn.start, turn.end
                run = turn.end - turn.start
            if turn.runs:
                found.runs.append((turn.start, at, turn.amount))
            if turn.cancelled:
                found.cancelled.add(turn.name)
            jobs.append(
                TraceJob(turn.name, turn.since, run, run, (turn.amount,), turn.amount, turn.user)
            )
        found.jobs = jobs
        return found

    def _amount(self, found: Resources) -> int:
        return found.gpu_milli if self._gpus else found.cpu_milli

    def _job(self, job: JobId, recorded: Recorded, event: e.JobEvent) -> None:
        at = recorded.recorded_at
        if isinstance(event, e.Queued) and job not in self._live:
            user = f"{recorded.meta.project}/{event.user}"
            turn = self._live[job] = _Turn(f"{job}:{recorded.version}", user, at)
            self._turns.append(turn)
        known = self._live.get(job)
        if known is None:
            return
        match event:
            case e.Queued():
                known.waits = True
                self._history.queue.append((at, 1))
            case e.Placed():
                self._left_queue(known, at)
                known.start, known.runs, known.asked = at, True, False
            case e.PreemptionRequested():
                known.asked = True
                self._history.preemptions += e.is_preemption(event)
            case e.AttemptEnded(outcome=outcome):
                self._ended(known, at, outcome)
            case e.Suspended() | e.Held():
                self._left_queue(known, at)
            case e.Succeeded() | e.Failed() | e.TimedOut():
                del self._live[job]
                known.end = at
            case e.Cancelled():
                self._left_queue(known, at)
                del self._live[job]
                known.cancelled = True

    def _left_queue(self, turn: _Turn, at: int) -> None:
        if turn.waits:
            turn.waits = False
            self._history.queue.append((at, -1))

    def _ended(self, turn: _Turn, at: int, outcome: Outcome) -> None:
        turn.runs = False
        self._history.runs.append((turn.start, at, turn.amount))
        if turn.asked and outcome is Outcome.STOPPED:
            self._history.lost += (at - max(turn.start, turn.saved)) * turn.amount


def histories(log: Sequence[Recorded]) -> tuple[dict[str, History], int]:
    """What was recorded, and what the planner makes of it; and the most that was there at a time.

    The submissions, cancellations and nodes of the record, and how long jobs ran, are those of
    the rehearsal too (`domain/scheduling/rehearse.py` has what it assumes), up to the record's
    end. Amounts are of GPUs if any job asked for some, else of CPUs. SystemExit for a log without
    a job that was queued or a node, or that cannot be folded.
    """
    if not any(isinstance(r.event, Registered) for r in log):
        raise SystemExit("the log has no node: nothing can have run")
    if not any(isinstance(r.event, e.Queued) for r in log):
        raise SystemExit("the log has no job that was queued")
    gpus = any(r.event.spec.resources.gpu_milli for r in log if isinstance(r.event, e.Submitted))
    at, until = log[0].recorded_at, max(recorded.recorded_at for recorded in log)
    recorded_as, snapshot = Watch(gpus=gpus), Snapshot()
    for recorded in log:
        try:
            snapshot.apply(recorded)
        except FAULTS as error:
            raise SystemExit(f"position {recorded.position}: cannot be folded: {error}") from None
        recorded_as.see(snapshot, recorded)
    planned = Watch(gpus=gpus)
    told = script(Snapshot(), at, log)
    rehearse(Snapshot(), at, until, told, Otherwise(), planned.see)
    found = {"recorded": recorded_as.close(until), "planner": planned.close(until)}
    most = there = 0
    for _, more in found["recorded"].offered:
        there += more
        most = max(most, there)
    return found, most
