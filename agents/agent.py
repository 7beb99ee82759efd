"""The agent: orders in, actions on this machine, facts out. One loop; slow work in threads."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from agents import proc
from agents.cell import Cell
from agents.checkpoints import CheckpointBroken, restore
from agents.chunks import ObjectFolder
from agents.known import Seat, environment, runner_for, until_ready, verdict
from agents.lease import LeaseClock
from agents.logs import LogFile
from agents.reconcile import (
    AskToStop,
    Forget,
    Kill,
    Local,
    Phase,
    ReportGone,
    Start,
    TellAgain,
    kill_all,
    reconcile,
)
from agents.reporter import Reporter
from agents.runner import Found, Gpu, Runner, SeatSpec, StartFailed
from agents.samples import Sampler
from agents.saving import Saver
from agents.seats import Published, SeatFolder, SeatRecord, SeatStore, StopRecord
from agents.settings import Settings
from agents.wire import (
    CheckpointSaved,
    Ended,
    Fact,
    FactResult,
    Order,
    Orders,
    Restored,
    SeatKey,
    Started,
    key_of,
)
from domain.allocation.seat import Outcome

log = logging.getLogger(__name__)
TICK_S = 0.25
LOOK_US = 500_000
END_S = 10.0


class Agent:
    """Acts for one node. `exits` gets the key of every seat that ended, from any thread."""

    def __init__(
        self,
        settings: Settings,
        cell: Cell,
        boot: str,
        devices: tuple[Gpu, ...],
        clock: LeaseClock,
        exits: queue.SimpleQueue[SeatKey],
    ) -> None:
        self._settings = settings
        self._cell = cell
        self._boot = boot
        self._gpus = {gpu.id: gpu for gpu in devices}
        self._clock = clock
        self._runners: dict[str, Runner] = {}
        self._store = SeatStore(settings.data)
        self._objects = ObjectFolder(settings.objects)
        self._seats: dict[SeatKey, Seat] = {}
        self._orders: dict[SeatKey, Order] | None = None
        self._deadlines: dict[SeatKey, int] = {}
        self._exits = exits
        self._later: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopped = False
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="seat")
        self._sampler = Sampler(cell, settings.node, boot, self._workers)
        self._reporter = Reporter(cell, settings.node, boot, self._answered)

    def run(self, runners: dict[str, Runner]) -> None:
        """Take over what runs here, then follow orders until stopped."""
        self._runners = runners
        self._adopt_all()
        self._reporter.start()
        while not self._stopped:
            self._wake.wait(TICK_S)
            self._wake.clear()
            self.step()
        if self._settings.stop_seats:
            self._end_seats()
        self._reporter.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _end_seats(self) -> None:
        """Kill every seat and see it end; what became of them is kept on disk and told."""
        deadline = time.monotonic() + END_S
        self._kill_all("the agent was stopped, and its seats with it")
        while any(s.phase is not Phase.ENDED for s in self._locals().values()):
            if time.monotonic() > deadline:
                log.warning("some seats did not end in %s s", END_S)
                return
            self._catch_up()
            self._wake.wait(TICK_S)
            self._wake.clear()

    def stop(self) -> None:
        """End the loop; seats go on running and are adopted by the next agent, or end with it."""
        self._stopped = True
        self._wake.set()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def take_orders(self, answer: Orders, received_us: int) -> None:
        """The newest orders (from the lease's thread)."""
        orders = {order.key: order for order in answer.orders if order.key.safe}
        deadlines = {
            order.key: received_us + order.deadline_us - answer.now_us
            for order in orders.values()
            if order.deadline_us is not None
        }
        self._do(lambda: self._set_orders(orders, deadlines))

    def kill_everything(self) -> None:
        """The lease is over: when this returns every seat was killed (from the lease's thread)."""
        done = threading.Event()

        def kill() -> None:
            self._kill_all("the node's lease ended")
            self._orders, self._deadlines = None, {}
            done.set()

        self._do(kill)
        done.wait(10.0)

    def step(self) -> None:
        """Everything there is to do now."""
        self._catch_up()
        now = proc.now_us()
        locals_ = self._locals()
        for action in reconcile(self._orders, locals_, self._deadlines, now, self._clock.stop_us):
            self._act(action)
        for seat in list(self._seats.values()):
            self._look_after(seat, now)
        self._sampler.take(self._seats, now)

    def _catch_up(self) -> None:
        while not self._later.empty():
            self._later.get()()
        while not self._exits.empty():
            self._exited(self._exits.get())

    def _kill_all(self, why: str) -> None:
        for action in kill_all(self._locals(), why):
            if isinstance(action, Kill):
                self._kill(action)

    def _do(self, action: Callable[[], None]) -> None:
        self._later.put(action)
        self._wake.set()

    def _set_orders(self, orders: dict[SeatKey, Order], deadlines: dict[SeatKey, int]) -> None:
        self._orders, self._deadlines = orders, deadlines

    def _locals(self) -> dict[SeatKey, Local]:
        return {key: seat.local for key, seat in self._seats.items()}

    def _act(self, action: object) -> None:
        match action:
            case Start(order=order):
                self._start(order)
            case AskToStop(key=key):
                self._ask(self._seats[key])
            case Kill():
                self._kill(action)
            case ReportGone(key=key, outcome=outcome, detail=detail):
                self._report_gone(key, outcome, detail)
            case Forget(key=key):
                self._forget(key)
            case TellAgain(key=key):
                self._tell_again(self._seats[key])

    def _start(self, order: Order) -> None:
        record = SeatRecord(
            order, self._settings.node, self._boot, runner_for(order, self._runners), proc.now_us()
        )
        folder = self._store.create(order.key, record)
        seat = self._know(order, folder, record.runner, Local(Phase.STARTING))
        self._reporter.follow(order.key, self._log(seat), resumed=False)
        if record.runner == "docker":  # it may wait long for the engine
            threading.Thread(target=self._launch, args=(seat,), daemon=True).start()
        elif order.seat.restore is not None:
            self._workers.submit(self._launch, seat)
        else:
            self._launch(seat)

    def _launch(self, seat: Seat) -> None:
        """Restore, then start; in a worker thread when that can take long."""
        restored = seat.order.seat.restore
        try:
            if seat.runner is None:
                raise StartFailed("docker_image: this node has no runner for the job")
            if restored is not None:
                restore(restored.digest, seat.folder.checkpoint, self._objects)
                self._reporter.tell(Restored(*seat.order.key, restored.digest))
            late = until_ready(seat, self._clock)
            if late is not None:
                self._do(lambda: self._conclude(seat, late[0], None, late[1]))
                return
            seat.runner.start(seat.spec)
        except (StartFailed, CheckpointBroken, OSError) as error:
            detail = str(error)
            self._do(lambda: self._conclude(seat, Outcome.START_FAILED, None, detail))
            return
        self._do(lambda: self._runs(seat))

    def _runs(self, seat: Seat) -> None:
        """It was started; a kill that came meanwhile is carried out."""
        local = seat.local
        if local.phase is Phase.STARTING:
            seat.local = Local(Phase.RUNNING, local.asked, local.killed, told_us=proc.now_us())
        self._tell_started(seat)
        if local.killed and seat.runner is not None:
            seat.runner.kill(seat.order.key)
        elif local.asked and seat.runner is not None:
            seat.runner.signal(seat.order.key, signal.SIGTERM)

    def _tell_started(self, seat: Seat) -> None:
        assert seat.runner is not None
        self._reporter.tell(Started(*seat.order.key, seat.runner.name))
        if seat.saver is not None:
            seat.saver.begin(proc.now_us())

    def _tell_again(self, seat: Seat) -> None:
        seat.local, ended = replace(seat.local, told_us=proc.now_us()), seat.folder.read_ended()
        if ended is not None:
            self._reporter.tell(ended)
        elif seat.runner is not None:
            self._reporter.tell(Started(*seat.order.key, seat.runner.name))

    def _ask(self, seat: Seat) -> None:
        seat.folder.write_stop(StopRecord("it was asked to stop"))
        seat.local = Local(seat.local.phase, asked=True, killed=seat.local.killed)
        if seat.local.phase is Phase.RUNNING and seat.runner is not None:
            seat.runner.signal(seat.order.key, signal.SIGTERM)

    def _kill(self, action: Kill) -> None:
        seat = self._seats[action.key]
        seat.folder.write_stop(StopRecord(action.why, killed=True))
        seat.local = Local(seat.local.phase, seat.local.asked, killed=True)
        if seat.local.phase is Phase.RUNNING and seat.runner is not None:
            seat.runner.kill(action.key)

    def _report_gone(self, key: SeatKey, outcome: Outcome, detail: str) -> None:
        """Nothing of the seat is here: keep the verdict, so that it is said until answered."""
        assert self._orders is not None
        order = self._orders[key]
        runner = runner_for(order, self._runners)
        record = SeatRecord(order, self._settings.node, self._boot, runner, proc.now_us())
        seat = self._know(order, self._store.create(key, record), runner, Local(Phase.STARTING))
        self._conclude(seat, outcome, None, detail)

    def _forget(self, key: SeatKey) -> None:
        seat = self._seats.pop(key)
        self._reporter.forget(key)
        if seat.runner is not None:
            seat.runner.release(key)
        seat.folder.remove()

    def _exited(self, key: SeatKey) -> None:
        seat = self._seats.get(key)
        if seat is None or seat.runner is None or seat.local.phase is Phase.ENDED:
            return
        if seat.local.phase is Phase.STARTING:
            self._runs(seat)  # it ended before its start was noted
        result = seat.runner.result(key)
        outcome, detail = verdict(result, seat.folder.read_stop())
        if seat.saver is None or outcome in (Outcome.START_FAILED, Outcome.LOST):
            self._conclude(seat, outcome, result.code, detail)
        else:
            seat.local = Local(Phase.ENDED, seat.local.asked, seat.local.killed)
            self._workers.submit(self._save_last, seat, outcome, result.code, detail)

    def _save_last(self, seat: Seat, outcome: Outcome, code: int | None, detail: str) -> None:
        assert seat.saver is not None
        fact = seat.saver.save(self._objects, "stop" if outcome is Outcome.STOPPED else "exit")
        if fact is not None:
            self._reporter.tell(fact)
        self._do(lambda: self._conclude(seat, outcome, code, detail))

    def _conclude(self, seat: Seat, outcome: Outcome, code: int | None, detail: str) -> None:
        """The verdict: on disk first, then told until the cell answers."""
        fact = Ended(*seat.order.key, outcome.value, code and min(code, 255), detail[:2000])
        seat.local = Local(Phase.ENDED, seat.local.asked, seat.local.killed)
        seat.folder.write_ended(fact)
        seat.folder.remove_work()
        self._reporter.tell(fact)

    def _answered(self, fact: Fact, _result: FactResult) -> None:
        """The cell answered a fact (from the reporter's thread)."""
        self._do(lambda: self._settle(fact))

    def _settle(self, fact: Fact) -> None:
        seat = self._seats.get(key_of(fact))
        if seat is None:
            return
        if isinstance(fact, Ended):
            seat.folder.mark_reported()
            seat.local = replace(seat.local, reported=True, told_us=proc.now_us())
        if isinstance(fact, CheckpointSaved):
            published = seat.folder.read_published()
            if published is not None and published.fact == fact:
                seat.folder.write_published(Published(fact, reported=True))

    def _look_after(self, seat: Seat, now: int) -> None:
        saver = seat.saver
        if saver is None or seat.runner is None or seat.local.phase is not Phase.RUNNING:
            return
        if seat.looking or not saver.tick(seat.runner, now) or now - seat.looked_us < LOOK_US:
            return
        seat.looking, seat.looked_us = True, now
        self._workers.submit(self._look, seat, saver)

    def _look(self, seat: Seat, saver: Saver) -> None:
        try:
            fact = saver.look(self._objects)
            if fact is not None:
                self._reporter.tell(fact)
        finally:
            seat.looking = False

    def _adopt_all(self) -> None:
        for folder, record in self._store.all():
            if record is None:
                folder.remove()
            else:
                self._adopt(folder, record)

    def _adopt(self, folder: SeatFolder, record: SeatRecord) -> None:
        order = record.order
        seat = self._know(order, folder, record.runner, Local(Phase.STARTING))
        self._reporter.follow(order.key, self._log(seat), resumed=True)
        published = folder.read_published()
        if published is not None and not published.reported:
            self._reporter.tell(published.fact)
        ended = folder.read_ended()
        stop = folder.read_stop()
        asked, killed = stop is not None, stop is not None and stop.killed
        if ended is not None:
            seat.local = Local(Phase.ENDED, asked, killed, folder.reported)
            if not folder.reported:
                self._reporter.tell(ended)
            return
        found = seat.runner.adopt(seat.spec) if seat.runner is not None else Found.LOST
        log.info("found %s: %s", order.key, found)
        if found is Found.NEVER_STARTED:
            self._forget(order.key)
        elif found is Found.LOST:
            self._conclude(seat, Outcome.LOST, None, "the agent was away and it is gone")
        else:
            seat.local = Local(Phase.RUNNING, asked, killed)
            self._tell_started(seat)
            if found is Found.ENDED:
                self._exited(order.key)

    def _know(self, order: Order, folder: SeatFolder, runner: str, local: Local) -> Seat:
        wire = order.seat
        owned = tuple(self._gpus[device] for device in wire.devices if device in self._gpus)
        spec = SeatSpec(
            key=order.key,
            node=self._settings.node,
            folder=folder,
            command=wire.command,
            environment=environment(order, self._settings.node, owned),
            image=wire.image,
            cpu_milli=wire.cpu_milli,
            memory_bytes=wire.memory_bytes,
            pids=self._settings.pids_limit,
            tmp_bytes=self._settings.tmp_bytes,
            log_bytes=self._settings.log_cap_bytes,
            gpus=owned,
        )
        saver = Saver(order, folder) if wire.checkpointing.enabled else None
        seat = Seat(order, folder, spec, self._runners.get(runner), local, saver)
        self._seats[order.key] = seat
        return seat

    def _log(self, seat: Seat) -> LogFile:
        return LogFile(seat.folder.log, self._settings.log_cap_bytes)
