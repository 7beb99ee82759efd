"""The plan of one cycle: who starts where, who makes room, and why the others wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from domain.allocation.events import Terms
from domain.allocation.seat import Seat
from domain.job.job import Job
from domain.job.transitions import Phase
from domain.policy.events import Backfill, Order, SchedulerSettings
from domain.scheduling.asking import Asking
from domain.scheduling.bound import HOLD, SEARCH, TELL, TRY, TURN, WHOLE, Bound, Cursor
from domain.scheduling.demand import Demand, demand_of
from domain.scheduling.horizon import Hold, Horizon
from domain.scheduling.limits import Ledger
from domain.scheduling.lines import Line, LineKey
from domain.scheduling.made import Move, Placement, Plan, Preemption
from domain.scheduling.migrate import Movers, lines_of_movers
from domain.scheduling.place import place
from domain.scheduling.rank import Ranks
from domain.scheduling.room import Found, Room
from domain.scheduling.snapshot import Snapshot
from domain.scheduling.telling import Telling
from domain.scheduling.turns import Turns
from domain.scheduling.windows import Access, Opened, Windows, split
from domain.values.ids import JobId, NodeId
from domain.values.time import SECOND

MOST_PLACEMENTS = 1000
"""Jobs placed in one cycle, so that none takes long; the next goes on with those then first."""
MOST_PREEMPTIONS = 10_000
"""Jobs asked to make room in one cycle, likewise; the last preemptor's are asked whole."""
MOST_HOLDS = 64
"""Starts held at once in conservative backfill."""


def plan(snapshot: Snapshot, now: int, bound: Bound = WHOLE) -> Plan:
    """Decide for every queued job, in the order of the policy, at the time `now` (microseconds).

    Jobs that ask for the same stand in one line; the head of the line that ranks first is next:
    1. over a limit of its project, cohort or user: its line waits;
    2. its whole gang fits and delays no held start: it is placed;
    3. it fits once the jobs that were preempted have left: that room is kept for it;
    4. jobs that must give way to it can make room: none too many are asked, and the room is kept;
    5. else its line waits; for the first ones the start is held that can be foreseen, and jobs
       behind may use what does not delay it.
    A running job that is to run elsewhere has its turn among them (`migrate.py`): it is asked to
    leave for seats that are free now and then kept for it; once it left, it has them before all.
    Nodes that a reservation or maintenance keeps from a job (`windows.py`) are none for it.
    Why lines wait is told last, by what then is free: the next cycle would say the same.
    A bounded cycle decides for some of them, those of the round before it aside (`turns.py`).
    """
    return Cycle(snapshot, now, bound.cursor).run(bound.units)


class _Outcome(Enum):
    PLACED = 1
    PROMISED = 2
    BLOCKED = 3


class Cycle:
    """The working state of one cycle. What one demand could not get, none like it tries again."""

    def __init__(self, snapshot: Snapshot, now: int, cursor: Cursor | None = None) -> None:
        """All that does not depend on how much the cycle may do."""
        self.snapshot = snapshot
        self.now = now
        self.settings = snapshot.policy.scheduler
        leaving = [snapshot.jobs[job] for job in sorted(snapshot.leaving)]
        # What placements have not taken, the part of it that is kept for nobody, and that part
        # once those that were asked to leave have left. One room until they differ.
        self.free = snapshot.rooms.free(snapshot).fork()
        self.room = self.free
        self.later = snapshot.rooms.later(snapshot).fork() if leaving else self.room
        self.leaving = bool(leaving)
        self.horizon = Horizon(snapshot, now)
        self.ledger = Ledger(snapshot, now)
        self.ranks = Ranks(snapshot, now)
        self.asking = Asking(snapshot, now, self.ranks, self.horizon)
        self.windows = Windows(snapshot, now)
        self.opened = Opened()
        self.left_by = max([now, *(job.stop_deadline or now for job in leaving)])
        self.plan = Plan()
        self.failed: set[tuple[Demand, int | None, Access]] = set()
        self.powerless: set[tuple[Demand, int, str, frozenset[NodeId]]] = set()
        self.helped = {job.preemptor for job in leaving}
        self.blocked: dict[tuple[LineKey, Access], tuple[Line, int, Demand]] = {}
        self.holds: dict[JobId, Hold] = {}
        self.telling = Telling(snapshot, self.ledger, self.holds)
        lines = [*split(snapshot.lines, self.windows), *lines_of_movers(snapshot)]
        self.turns = Turns(snapshot, self.ranks, lines, cursor, self.holds, self.free)
        self.promised: dict[JobId, Found] = {}
        for job_id, promise in sorted(snapshot.promised.items()):
            self._keep_promise(snapshot.jobs[job_id], promise)
        self.movers = Movers(snapshot, now, self.ledger)
        self.arrived: set[JobId] = set()
        for job_id in sorted(snapshot.migrating):
            self._receive(snapshot.jobs[job_id])

    def run(self, units: int | None = None) -> Plan:
        """Decide, with about so many units of work at the most (None: for everybody)."""
        made, turns = self.plan, self.turns
        while turns.left:
            if len(made.placements) >= MOST_PLACEMENTS or len(made.preemptions) >= MOST_PREEMPTIONS:
                made.more = True
                turns.stop()
                break
            turn = turns.next(units)
            if turn is None:
                break
            line, number = turn
            goes_on = self._decide(line, number) is not _Outcome.BLOCKED
            if (goes_on or line.places[number][1] in self.holds) and number + 1 < len(line):
                turns.again(line, number + 1)
        made.cursor = turns.stopped
        if not made.more:
            self.telling.tell_all(self.blocked.values(), self.free, self.room, self._kept_now)
            made.stays = list(self.movers.waits(self.free, self.room, self._kept_now))
        made.more |= self.telling.more or made.cursor is not None
        made.waits, made.units, made.left = self.telling.waits, turns.spent, turns.left
        return made

    def _decide(self, line: Line, number: int) -> _Outcome:
        """Place the line's next job, see to it that it can be soon, or let the line wait."""
        job = self.snapshot.jobs[line.places[number][1]]
        demand, outcome = line.key.demand, _Outcome.BLOCKED
        self.turns.spent += TURN
        if job.id in self.arrived:
            return _Outcome.PLACED
        if job.phase is not Phase.QUEUED:
            self._migrate(job, demand)
            return _Outcome.PLACED  # nobody stands behind it
        if demand.replicas == 1 or self.settings.enable_gang_scheduling:
            seats = self.ledger.affordable(job)
            if seats:
                demand = demand if seats == demand.replicas else replace(demand, replicas=seats)
                outcome = self._start(job, demand)
                if outcome is _Outcome.BLOCKED:
                    self._hold(job, demand)
        if outcome is _Outcome.BLOCKED and job.id in self.helped:
            self.turns.keep(job.id, 0)
            outcome = _Outcome.PROMISED  # a job ahead took its room; those it asked leave first
        if outcome is _Outcome.PROMISED:
            self.telling.promise(job)
        if outcome is _Outcome.BLOCKED:
            access = self.windows.access(job)
            self.blocked.setdefault((line.key, access), (line, number, demand))
        return outcome

    def _start(self, job: Job, demand: Demand) -> _Outcome:
        """Place the job or keep room for it, if there is or will be some."""
        seconds, access = job.spec.expected_seconds, self.windows.access(job)
        end = _end(job, self.now)
        if job.id in self.promised:
            return self._bind(job, self.promised[job.id], demand)
        if (demand, seconds, access) not in self.failed:
            self.turns.spent += TRY
            found = place(demand, self._open(self.room, job, end))
            if found is not None:
                for room in _different(self.free, self.room, self.later):
                    room.take(found.seats, demand)
                self.asking.took(found, demand)
                terms = self._charge(job, found, demand, end)
                placement = Placement(job.id, found.seats, found.gpu_model, terms)
                self.plan.placements.append(placement)
                return _Outcome.PLACED
            if self.leaving and self._keep_room(job, demand):
                return _Outcome.PROMISED
            self.failed.add((demand, seconds, access))
            self.turns.spent += TELL
        return _Outcome.PROMISED if self._preempt(job, demand) else _Outcome.BLOCKED

    def _keep_promise(self, job: Job, seats: tuple[Seat, ...]) -> None:
        """Keep the seats a job was promised from everybody else, while it can have them."""
        end = _end(job, self.left_by)
        known = self.snapshot.lines.of_job.get(job.id)
        demand = demand_of(job.spec) if known is None else known[0].demand
        if len(seats) != demand.replicas:
            demand = replace(demand, replicas=len(seats))
        closed = self._kept(job, end)
        if (
            (job.phase is not Phase.QUEUED or self.ledger.affordable(job) >= len(seats))
            and not (closed and any(seat.node in closed for seat in seats))
            and self.later.holds(seats, demand)
        ):
            found = Found(seats, self.snapshot.model_of(seats[0]))
            self._keep(found, demand)
            self.horizon.take(found, demand, end)
            self.promised[job.id] = found

    def _receive(self, job: Job) -> None:
        """Place a job that left its nodes on the seats kept for it; until then keep them."""
        assert job.migration is not None, "it is to move"
        if not job.migration.seats:
            return
        self._keep_promise(job, job.migration.seats)
        found, demand = self.promised.get(job.id), demand_of(job.spec)
        gangs = job.spec.replicas == 1 or self.settings.enable_gang_scheduling
        if job.phase is not Phase.QUEUED or not gangs or found is None:
            return
        if self.free.holds(found.seats, demand):
            self._bind(job, found, demand)
            self.arrived.add(job.id)

    def _migrate(self, job: Job, demand: Demand) -> None:
        """Ask the job to leave for seats elsewhere, if there are any that nobody else is to get."""
        seconds, access = job.spec.expected_seconds, self.windows.access(job)
        if self.asking.has_asked(job.id):
            return
        end = _end(job, self.movers.leaves_by(job))
        self.turns.spent += TRY
        room = None
        if (demand, seconds, access) not in self.failed:
            room = self._open(self.room, job, end)
        found = self.movers.find(job, demand, room)
        if found is None:
            return
        if self.later is self.room:
            self.later = self.room.fork()
        self._let_go([job])
        self.asking.left([job])
        self._keep(found, demand)
        self.horizon.take(found, demand, end)
        self.opened.changed(seat.node for seat in found.seats)
        self.plan.moves.append(Move(job.id, found.seats))
        self.leaving = True

    def _bind(self, job: Job, found: Found, demand: Demand) -> _Outcome:
        """Give the job the seats it was promised, once those who held them have left.

        Only so many as it may have by now: others of its project came first.
        """
        found = replace(found, seats=found.seats[: demand.replicas])
        terms = self.ledger.charge(job, len(found.seats), found.gpu_model)
        self._count(job, found)
        if not self.free.holds(found.seats, demand):
            self.turns.keep(job.id, len(found.seats))
            return _Outcome.PROMISED
        self.free.take(found.seats, demand)
        self.plan.placements.append(Placement(job.id, found.seats, found.gpu_model, terms))
        return _Outcome.PLACED

    def _open(self, room: Room, job: Job, end: int | None) -> Room:
        """What of the room the job may have: beside held starts, on nodes not kept from it."""
        return self.opened.of(self.horizon.window(room, end), self._kept(job, end))

    def _kept_now(self, job: Job) -> frozenset[NodeId]:
        return self._kept(job, _end(job, self.now))

    def _kept(self, job: Job, end: int | None) -> frozenset[NodeId]:
        return self.windows.kept(self.windows.access(job), self.now, end)

    def _keep_room(self, job: Job, demand: Demand) -> bool:
        """Keep for the job what it will hold once others left, if that is enough."""
        end = _end(job, self.left_by)
        found = place(demand, self._open(self.later, job, end))
        if found is None:
            return False
        self._keep(found, demand)
        self._charge(job, found, demand, end)
        self.turns.keep(job.id, len(found.seats))
        return True

    def _preempt(self, job: Job, demand: Demand) -> bool:
        """Ask jobs that give way to make room beside the held starts, if that can help."""
        end = _end(job, max(self.left_by, self.now + self.settings.grace_seconds * SECOND))
        powerless = (demand, job.priority, job.spec.project, self._kept(job, end))
        if (
            not self.settings.enable_preemption
            or job.id in self.helped
            or powerless in self.powerless
        ):
            return False
        self.turns.spent += SEARCH
        if self.later is self.room:
            self.later = self.room.fork()
        victims = self.asking.victims(job, demand, end, self._open(self.later, job, end))
        if victims is None:
            self.powerless.add(powerless)
            return False
        self._let_go(victims)
        found = place(demand, self._open(self.later, job, end))
        assert found is not None, "the victims were chosen for it"
        for number, victim in enumerate(victims):
            kept_seats = () if number else found.seats
            self.plan.preemptions.append(Preemption(victim.id, job.id, kept_seats))
        self.asking.note(job, victims)
        self._keep(found, demand)
        self._charge(job, found, demand, end)
        self.turns.keep(job.id, len(found.seats))
        self.leaving = True
        return True

    def _let_go(self, victims: list[Job]) -> None:
        """Those who were asked to leave: from then on what they hold is there for others."""
        for victim in victims:
            held = self.snapshot.held_by(victim)
            self.later.give_back(held)
            self.opened.changed(seat.node for seat in held.seats)
        self.horizon.release(victims)
        if self.holds:
            self.opened.clear()  # the rooms beside the holds are made anew

    def _keep(self, found: Found, demand: Demand) -> None:
        """Seats that others still hold, or that are free, are kept for a job."""
        if self.room is self.free:
            later = self.later is self.room
            self.room = self.free.fork()
            self.later = self.room if later else self.later
        for room in _different(self.room, self.later):
            room.take(found.seats, demand)
        self.asking.took(found, demand)

    def _hold(self, job: Job, demand: Demand) -> None:
        """Hold the job's start, if it is one of the first that the policy holds starts for."""
        conservative = self.settings.backfill is Backfill.CONSERVATIVE
        most = MOST_HOLDS if conservative else self.settings.backfill_depth
        if self.settings.enable_backfill and len(self.holds) < most:
            self.turns.spent += HOLD
            hold = self.horizon.hold(job, demand, self.later, self.windows)
            if hold is not None:
                self.opened.clear()
                self.holds[job.id] = hold
                self.plan.starts[job.id] = hold.start

    def _charge(self, job: Job, found: Found, demand: Demand, end: int | None) -> Terms | None:
        self._count(job, found)
        self.horizon.take(found, demand, end)
        self.opened.changed(seat.node for seat in found.seats)
        self.turns.took(seat.node for seat in found.seats)
        return self.ledger.charge(job, len(found.seats), found.gpu_model)

    def _count(self, job: Job, found: Found) -> None:
        """What the job gets counts for the ranks of those behind it."""
        if self.ranks.moves and job.id not in self.turns.charged:
            self.ranks.charge(job, self.snapshot.inheritance.of(job).user, len(found.seats))


def _end(job: Job, start: int) -> int | None:
    """When the job will have left if it starts then; None if nobody knows how long it runs."""
    seconds = job.spec.expected_seconds
    return None if seconds is None else start + seconds * SECOND


def _different(*rooms: Room) -> Iterable[Room]:
    return {id(room): room for room in rooms}.values()


def depends_on_time(settings: SchedulerSettings) -> bool:
    """Whether with these settings time alone, with nothing new, can change what is decided."""
    rules = settings.preemption
    return (
        settings.aging_seconds > 0
        or Order.FAIR_SHARE in (settings.primary_policy, settings.secondary_policy)
        or rules.min_runtime_seconds > 0
        or rules.cooldown_seconds > 0
        or rules.max_per_hour is not None
        or rules.project_per_hour is not None
    )
