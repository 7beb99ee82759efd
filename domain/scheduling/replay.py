"""Replay: every recorded decision recomputed from the log alone, and compared with its receipt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from domain.event import Recorded
from domain.scheduling.decide import ACTOR, decide
from domain.scheduling.events import Decided, Step
from domain.scheduling.receipt import PLANNER, digest_of, line_of, lines_of
from domain.scheduling.snapshot import Snapshot


class Fault(StrEnum):
    """What is wrong with a decision."""

    DECIDED_OTHERWISE = "decided_otherwise"  # this code comes to something else
    RECORD_CHANGED = "record_changed"  # the log no longer holds what the receipt was given for
    NO_RECEIPT = "no_receipt"  # a decision that no receipt covers
    READ_BACK = "read_back"  # decided without having read an earlier decision
    PART_MISSING = "part_missing"  # parts are recorded in order, none left out before another


@dataclass(frozen=True)
class Difference:
    """The first decision that cannot be confirmed.

    `position` is that of the decision or else its receipt; `then` what was recorded and `now` what
    comes out today, each one decided event in canonical form, empty where there is none.
    """

    fault: Fault
    position: int
    read: int
    planner: int
    then: str
    now: str


@dataclass
class Tally:
    """How far a replay has come and what it confirmed.

    `cut_short` counts steps whose later transactions met a rival's write; `before` are decisions
    from before there were receipts, which nothing can confirm. `unconfirmed` are receipts of a
    leader that could not read some stream: their records are compared, not recomputed.
    `passed_over` are events that somebody decided to do without.
    """

    position: int = 0
    events: int = 0
    receipts: int = 0
    decisions: int = 0
    cut_short: int = 0
    before: int = 0
    unconfirmed: int = 0
    passed_over: int = 0
    difference: Difference | None = None


@dataclass
class _Step:
    """A step under way: all its lines as recomputed, and which of its parts were seen."""

    receipt: Decided
    lines: list[bytes]
    offset: int = 0
    part: int = 0


@dataclass
class _Open:
    """A receipt whose events are being read."""

    at: Recorded
    receipt: Decided
    events: list[Recorded] = field(default_factory=list)
    unread: int = 0
    """So many of them cannot be read and are passed over."""


class Replay:
    """Takes the log event by event; `tally.difference` is the first that does not come out.

    The leader decided on what it had read, and the log may have been longer by then: events wait
    in `_ahead` until a receipt says how far to fold. `start` is a snapshot of an earlier position.
    What was decided up to position `skip` is folded without being recomputed. `discarded` are the
    positions that the scheduler passes over (`domain/consumer`).
    """

    def __init__(
        self,
        start: Snapshot | None = None,
        skip: int = 0,
        discarded: frozenset[int] = frozenset(),
    ) -> None:
        self.snapshot = start or Snapshot()
        self.tally = Tally(self.snapshot.position)
        self._skip = skip
        self._discarded = discarded
        self._ahead: deque[Recorded] = deque()
        self._step: _Step | None = None
        self._open: _Open | None = None
        self._passed: Decided | None = None
        """The newest receipt that is not recomputed: its step began before this replay does."""
        self._passing = 0
        """So many of the next events are covered by that receipt."""
        self._covered = False
        self.folding: Recorded | None = None
        """The event under way into the snapshot; after an error, the one that cannot be folded."""

    def feed(self, log: Iterable[Recorded]) -> bool:
        """Take in the next events; whether all is well so far."""
        return all(self._take(recorded) for recorded in log)

    def pass_over(self, position: int) -> bool:
        """The next event cannot be read, and is one of those discarded; whether all is well."""
        assert position in self._discarded, "nobody decided to do without it"
        self.tally.position = position
        self.tally.events += 1
        self.tally.passed_over += 1
        if self._passing:
            self._passing -= 1
        elif self._open is not None:
            self._open.unread += 1
            return self._when_whole(self._open)
        return True

    def finish(self) -> Tally:
        """No more events follow."""
        opened = self._open
        if self.tally.difference is None and opened is not None:
            self._fail(Fault.RECORD_CHANGED, opened.at.position, opened.receipt)
        self._end_step()
        return self.tally

    def fold_to(self, position: int) -> None:
        """Bring the snapshot to this position, as far as the log was taken in."""
        while self._ahead and self._ahead[0].position <= position:
            recorded = self._ahead.popleft()
            if recorded.position in self._discarded:
                self.snapshot.position = recorded.position
            else:
                self.folding = recorded
                self.snapshot.apply(recorded)
        self.folding = None

    def _take(self, recorded: Recorded) -> bool:
        self.tally.position = recorded.position
        self.tally.events += 1
        self.tally.passed_over += recorded.position in self._discarded
        self._ahead.append(recorded)
        if self._passes_over(recorded):
            return True
        if self._open is not None:
            return self._inside(self._open, recorded)
        if isinstance(recorded.event, Decided):
            self._open = _Open(recorded, recorded.event)
            return self._begin(recorded, recorded.event)
        if recorded.meta.actor == ACTOR:
            if self._covered:
                return self._fail(Fault.NO_RECEIPT, recorded.position, None, line_of(recorded))
            self.tally.before += 1
        return True

    def _passes_over(self, recorded: Recorded) -> bool:
        """Whether the event is from before this replay begins, or of a step that is."""
        event = recorded.event
        if isinstance(event, Decided):
            first, self._covered = not self._covered, True
            late = first or (self._passed is not None and _same_step(self._passed, event))
            if recorded.position <= self._skip or (event.part > 1 and late):
                self._passed, self._passing = event, event.events
                self.fold_to(event.read)
                return True
            self._passed = None
        elif self._passing:
            self._passing -= 1
            return True
        return recorded.position <= self._skip

    def _begin(self, recorded: Recorded, receipt: Decided) -> bool:
        """Recompute the step, unless this is a later part of the one under way."""
        step = self._step
        if step is not None and _same_step(step.receipt, receipt):
            if receipt.part != step.part + 1:
                return self._fail(Fault.PART_MISSING, recorded.position, receipt)
            step.part = receipt.part
            return True
        self._end_step()
        if receipt.read < self.snapshot.position:
            return self._fail(Fault.READ_BACK, recorded.position, receipt)
        self.fold_to(receipt.read)
        lines = [] if receipt.held_out else recompute(self.snapshot, receipt)
        self._step = _Step(receipt, lines, part=receipt.part)
        if receipt.part != 1:
            return self._fail(Fault.PART_MISSING, recorded.position, receipt)
        return True

    def _inside(self, opened: _Open, recorded: Recorded) -> bool:
        """One more event that a receipt covers; compare when it is the last."""
        opened.events.append(recorded)
        if recorded.meta.actor != ACTOR or isinstance(recorded.event, Decided):
            return self._fail(Fault.RECORD_CHANGED, recorded.position, opened.receipt)
        return self._when_whole(opened)

    def _when_whole(self, opened: _Open) -> bool:
        """Compare once all that the receipt covers was met."""
        if len(opened.events) + opened.unread < opened.receipt.events:
            return True
        self._open = None
        return self._compare(opened)

    def _compare(self, opened: _Open) -> bool:
        step, receipt = self._step, opened.receipt
        assert step is not None, "a receipt begins or continues a step"
        lines = [line_of(each) for each in opened.events]
        if opened.unread:
            return self._compare_unread(step, opened, lines)
        if digest_of(lines) != receipt.recorded:
            return self._fail(Fault.RECORD_CHANGED, opened.at.position, receipt)
        if receipt.held_out:
            self.tally.unconfirmed += 1
            return True
        expected = step.lines[step.offset : step.offset + len(lines)]
        step.offset += len(lines)
        for each, then, now in zip(opened.events, lines, _padded(expected, lines), strict=True):
            if then != now:
                fault = Fault.DECIDED_OTHERWISE
                return self._fail(fault, each.position, receipt, then, now)
        if digest_of(step.lines) != receipt.decisions:
            rest = step.lines[step.offset :]
            at, now = opened.at.position, rest[0] if rest else b""
            if receipt.part == receipt.parts:
                return self._fail(Fault.DECIDED_OTHERWISE, at, receipt, b"", now)
        self.tally.receipts += 1
        self.tally.decisions += len(lines)
        return True

    def _compare_unread(self, step: _Step, opened: _Open, lines: list[bytes]) -> bool:
        """Some of what the receipt covers is passed over: what comes out now stands for it."""
        receipt = opened.receipt
        if receipt.held_out:
            self.tally.unconfirmed += 1
            return True
        expected = step.lines[step.offset : step.offset + receipt.events]
        step.offset += len(expected)
        if digest_of(expected) != receipt.recorded:
            return self._fail(Fault.DECIDED_OTHERWISE, opened.at.position, receipt)
        rest = iter(expected)
        if not all(line in rest for line in lines):  # in this order
            return self._fail(Fault.RECORD_CHANGED, opened.at.position, receipt)
        self.tally.receipts += 1
        self.tally.decisions += len(expected)
        return True

    def _end_step(self) -> None:
        """The parts of a step are over; the leader goes on from what it has read then."""
        step, self._step = self._step, None
        if step is None or step.receipt.held_out:
            return
        if step.part < step.receipt.parts:
            self.tally.cut_short += 1
            if self.tally.difference is None and digest_of(step.lines) != step.receipt.decisions:
                now = step.lines[step.offset] if step.offset < len(step.lines) else b""
                at = self.snapshot.position
                self._fail(Fault.DECIDED_OTHERWISE, at, step.receipt, b"", now)

    def _fail(
        self, fault: Fault, at: int, receipt: Decided | None, then: bytes = b"", now: bytes = b""
    ) -> bool:
        read, planner = (receipt.read, receipt.planner) if receipt else (0, PLANNER)
        self.tally.difference = Difference(fault, at, read, planner, then.decode(), now.decode())
        return False


def recompute(snapshot: Snapshot, receipt: Decided) -> list[bytes]:
    """What this code decides where the receipt was given: the lines of all the step.

    `touched` only spares a look at allocations about which there is nothing to conclude; a replay
    clears it where a leader would.
    """
    if receipt.step is Step.PLAN and not decide(Step.CONCLUDE, snapshot, receipt.now):
        snapshot.touched.clear()
    decisions = decide(receipt.step, snapshot, receipt.now, receipt.bound)
    return [each for decision in decisions for each in lines_of(decision)]


def _same_step(one: Decided, other: Decided) -> bool:
    """Whether both are receipts for parts of one step."""
    alike = replace(
        other, part=one.part, events=one.events, recorded=one.recorded, counts=one.counts
    )
    return alike == one


def _padded(expected: list[bytes], lines: list[bytes]) -> list[bytes]:
    return expected + [b""] * (len(lines) - len(expected))
