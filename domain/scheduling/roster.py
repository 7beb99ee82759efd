"""The roster: all that may be asked to make room, as rows of integers kept between cycles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain.allocation.allocation import Allocation
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.fleet.demand import MOST_GPUS
from domain.scheduling.fleet.layout import (
    FROM,
    JOB,
    NEVER,
    NONE,
    PRIORITY,
    SEAT,
    SEATS,
    SPAN,
    STRIDE,
    Ints,
)
from domain.values.ids import JobId
from domain.values.resources import NOTHING
from domain.values.time import SECOND

if TYPE_CHECKING:
    from domain.scheduling.snapshot import Snapshot

MAY_BE_ASKED = (Phase.STARTING, Phase.RUNNING)
ID_BYTES = 32
MOST_BELOW = 16
ANYTHING = Demand(docker=False, per_seat=NOTHING)
Sort = tuple[str, int, int, int]
"""A project, and the GPU thousandths, CPU thousandths and bytes that a job of it holds in all."""


class Roster:
    """Rows of those that may be asked, made when first asked for, then kept by what is noted.

    Whoever changes a job that is placed, or a node it is on, notes the job here.
    """

    def __init__(self) -> None:
        self._rows: Rows | None = None
        self._noted: set[JobId] = set()

    def note(self, job: JobId) -> None:
        """The job, what it holds, when it saved last or a node it is on changed."""
        if self._rows is None:
            return
        self._noted.add(job)
        if len(self._noted) > 1000 + 2 * len(self._rows.slots):
            self._rows = None  # nobody asked for long: later they are made anew
            self._noted.clear()

    def rows(self, snapshot: Snapshot, board: Board) -> Rows:
        """The rows as of now, for this board's nodes."""
        rows, noted = self._rows, self._noted
        if rows is None or not rows.follow(board):
            rows = self._rows = Rows(board)
            noted = {held.job for held in snapshot.allocations.values()}
        for job in noted:
            rows.put(snapshot, job)
        self._noted = set()
        return rows


def prepare(snapshot: Snapshot) -> None:
    """Bring the rows up to date, so that the first who needs them does not wait for that."""
    board = snapshot.rooms.free(snapshot).board(ANYTHING)
    if board is not None and snapshot.policy.scheduler.enable_preemption:
        snapshot.roster.rows(snapshot, board)


class Rows:
    """A slot for each job that may be asked, and a span of seats for each node (`fleet.held`)."""

    def __init__(self, board: Board) -> None:
        self.ids = board.ground.ids
        self._index, self._cells, self._loops = board.ground.index, board.cells, board.held
        self.slots: dict[JobId, int] = {}
        self.names: list[JobId] = []
        """The job in each slot; in one that is free, the last that was."""
        self.sorts: dict[Sort, int] = {}
        """What jobs hold, by whom: a number for each."""
        self.jobs, self.seats, self.order = (self._cells.filled(0, 0) for _ in range(3))
        self._used = 0
        """So much of the order is used."""
        self.spans = self._cells.filled(len(self.ids) * SPAN, 0)
        self._free: list[int] = []
        self._left: dict[int, list[int]] = {}
        """Where so many seats once stood, and none do now."""
        self._seats = 0
        self._fresh: dict[int, range] = {}
        """By slot: seats that no node has yet."""
        self._odd: set[int] = set()
        """Slots whose id is longer than a row holds."""
        self._below = dict[int, tuple[Ints, Ints]]()
        self._oldest, self._heaviest = NEVER, 1000
        """No work is lost since before, and by nobody faster."""
        self.by_name = self._places()
        """The place of each node by its name."""

    def follow(self, board: Board) -> bool:
        """Be of this board's nodes, where more have joined; False if some are gone."""
        ids, index = board.ground.ids, board.ground.index
        if self.ids == ids:
            return True
        if type(board.cells) is not type(self._cells) or not self._index.keys() <= index.keys():
            return False
        moved = self._cells.of([index[name] for name in self.ids])
        spans = self._cells.filled(len(ids) * SPAN, 0)
        self._loops.renumber(self.seats, moved, self.spans, spans)
        self.ids, self._index, self.spans = ids, index, spans
        self.by_name = self._places()
        self._below.clear()
        return True

    def _places(self) -> Ints:
        places = self._cells.filled(len(self.ids), 0)
        for place, node in enumerate(sorted(range(len(self.ids)), key=self.ids.__getitem__)):
            places[node] = place
        return places

    def put(self, snapshot: Snapshot, name: JobId) -> None:
        """The job as it is now; out of the rows if it may not be asked, whoever asks."""
        job, slot = snapshot.jobs.get(name), self.slots.get(name)
        held = None
        if job is not None and job.phase in MAY_BE_ASKED and job.spec.preemptible:
            assert job.allocation is not None, "it is placed"
            held = snapshot.allocations.get(job.allocation)
        if slot is not None:
            self._leave(slot)
        if job is None or held is None:
            if slot is not None:
                del self.slots[name]
                self._free.append(slot)
            return
        if slot is None:
            slot = self.slots[name] = self._free.pop() if self._free else self._more()
            self.names[slot] = name
        first, count = self._seat(snapshot, slot, held), len(held.seats)
        row = _row(job, snapshot.saved.get(name, 0))
        self._oldest, self._heaviest = min(self._oldest, row[1]), max(self._heaviest, row[2])
        row += (self.sorts.setdefault(sort_of(job), len(self.sorts)), first, count, *_limbs(name))
        self.jobs[slot * JOB : slot * JOB + JOB] = self._cells.of(row)
        self._fresh[slot] = range(first, first + count)
        if len(name.encode()) > ID_BYTES:
            self._odd.add(slot)

    def settle(self, now: int) -> bool:
        """See to it that every node has its seats; False where rows cannot tell the order."""
        if self._odd or (now - self._oldest) * self._heaviest // 1000 > NEVER:
            return False
        fresh = self._cells.of([seat for seats in self._fresh.values() for seat in seats])
        self._fresh.clear()
        done = 0
        while done < len(fresh):
            done, self._used = self._loops.enter(
                fresh, done, self.seats, self.spans, self.order, self._used
            )
            if done < len(fresh):
                self.order = self._grown(self.order, 2 * len(self.order) + 4 * len(fresh) + 64)
        return True

    def below(self, priority: int) -> tuple[Ints, Ints]:
        """What those below a priority give back on each node, as far as known: see
        `leaving.could`. Those of the priorities asked for last are kept."""
        known = self._below.pop(priority, None)
        if known is None:
            nodes = len(self.ids)
            known = self._cells.filled(nodes * STRIDE, 0), self._cells.filled(nodes, NONE)
        self._below[priority] = known
        if len(self._below) > MOST_BELOW:
            del self._below[next(iter(self._below))]
        return known

    def _leave(self, slot: int) -> None:
        """What was in the slot is there no more."""
        if self._fresh.pop(slot, None) is None:
            self._loops.withdraw(slot, self.jobs, self.seats, self.spans, self.order)
        first, count = int(self.jobs[slot * JOB + FROM]), int(self.jobs[slot * JOB + SEATS])
        self._left.setdefault(count, []).append(first)
        self.jobs[slot * JOB + PRIORITY] = NEVER
        self._odd.discard(slot)

    def _seat(self, snapshot: Snapshot, slot: int, held: Allocation) -> int:
        """Write its seats; where they stand."""
        left, count = self._left.get(len(held.seats)), len(held.seats)
        first = left.pop() if left else self._seats
        if first == self._seats:
            self._seats += count
            if self._seats * SEAT > len(self.seats):
                self.seats = self._grown(self.seats, 2 * self._seats * SEAT)
        want, row = held.per_seat, list[int]()
        for seat in held.seats:
            mask, mine = 0, seat.devices
            if mine:
                offered = snapshot.nodes[seat.node].node.offer.devices[:MOST_GPUS]
                mask = sum(1 << n for n, d in enumerate(offered) if d.id in mine and not d.mig)
            row += (
                slot, self._index[seat.node], want.cpu_milli, want.memory_bytes,
                want.storage_bytes, want.network_mbps, want.milli_each, mask, int(held.exclusive),
            )  # fmt: skip
        self.seats[first * SEAT : (first + count) * SEAT] = self._cells.of(row)
        return first

    def _more(self) -> int:
        """A slot that was never used."""
        slot = len(self.names)
        self.names.append(JobId(""))
        if len(self.names) * JOB > len(self.jobs):
            self.jobs = self._grown(self.jobs, 2 * len(self.names) * JOB)
        return slot

    def _grown(self, values: Ints, size: int) -> Ints:
        more = self._cells.filled(size, NONE)
        more[: len(values)] = values
        return more


def sort_of(job: Job) -> Sort:
    """Of what sort the job is; one that waits holds all it asks for."""
    total = job.spec.resources * (len(job.seats) or job.spec.replicas)
    return job.spec.project, total.gpu_milli, total.cpu_milli, total.memory_bytes


def _row(job: Job, saved: int) -> list[int]:
    """What `work_lost` and `expected_end` count with."""
    started, seconds, gpus = job.started_at, job.spec.expected_seconds, job.spec.resources.gpu_milli
    since = max(started, saved) if started else NEVER
    return [
        job.priority,
        since,
        max(1000, gpus) * max(1, len(job.seats)),
        NONE if started is None else started,
        NONE if seconds is None else seconds * SECOND,
    ]


def _limbs(name: str) -> Sequence[int]:
    """The id as integers that sort as it does."""
    raw = name.encode()[:ID_BYTES].ljust(ID_BYTES, b"\0")
    return [int.from_bytes(raw[n : n + 8], "big") - 2**63 for n in range(0, ID_BYTES, 8)]
