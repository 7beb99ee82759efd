"""The agent: one thread that takes in what happened, reconciles, and acts."""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agents import proc, reconcile
from agents.cell import Cell, CellRefused
from agents.checkpoints import CheckpointBroken, restore
from agents.chunks import ObjectFolder
from agents.lease import LeaseClock, LeaseKeeper
from agents.publisher import Outcome as PublishOutcome
from agents.publisher import Publisher, Request
from agents.reconcile import AskToStop, Forget, Kill, Phase, ReportGone, Start
from agents.reporter import Reporter
from agents.runner import Found, Gpu, OnExit, Runner, SeatSpec, StartFailed
from agents.seats import Published, SeatFolder, SeatRecord, SeatStore, StopRecord
from agents.settings import Settings
from agents.table import Seat, verdict
from agents.wire import (
    CheckpointSaved,
    Ended,
    Fact,
    FactResult,
    Order,
    Orders,
    Registration,
    Restored,
    SeatKey,
    Started,
    key_of,
)
from domain.allocation.seat import Outcome

log = logging.getLogger(__name__)

_TICK_S = 0.25


@dataclass(frozen=True)
class StartDone:
    """A start came to its end: `failure` says why it failed; `restored` names a checkpoint."""

    key: SeatKey
    failure: str = ""
    restored: str = ""


Message = Callable[[], None]
"""What another thread asks the agent's own thread to do."""


class Agent:
    """Everything the node does. All seats belong to the thread in `run`; others send messages."""

    def __init__(
        self,
        settings: Settings,
        registration: Registration,
        cell: Cell,
        gpus: Sequence[Gpu],
        make_runners: Callable[[OnExit], Mapping[str, Runner]],
    ) -> None:
        self._settings = settings
        self._boot = registration.boot
        self._gpus = {gpu.id: gpu for gpu in gpus}
        self._store = SeatStore(settings.data)
        self._objects = ObjectFolder(settings.objects)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._seats: dict[SeatKey, Seat] = {}
        self._orders: dict[SeatKey, Order] | None = None
        self._deadlines: dict[SeatKey, int] = {}
        self._failure: CellRefused | None = None
        self._stopping = False
        self._starters = ThreadPoolExecutor(4, thread_name_prefix="start")
        self._runners = dict(make_runners(lambda key: self._send(lambda: self._exited(key))))
        self._reporter = Reporter(cell, settings.node, self._boot, self._on_answer)
        self._publisher = Publisher(
            self._objects, lambda outcome: self._send(lambda: self._published(outcome))
        )
        self._lease = LeaseClock(settings.data, self._boot)
        self._keeper = LeaseKeeper(
            cell, registration, self._lease, self._on_orders, self._on_stale, self._on_refused
        )

    def run(self) -> None:
        """Work until `stop`; CellRefused if the cell will not have this node."""
        self._adopt_all()
        self._reporter.start()
        self._publisher.start()
        self._keeper.start()
        while not self._stopping:
            self._take_messages()
            self._step()
        self._close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Leave `run` soon; seats go on running. May be called from a signal handler."""
        self._send(self._stop)

    def running(self) -> list[tuple[SeatKey, Runner, SeatSpec]]:
        """The seats that run now; for other threads to look at."""
        return [
            (seat.key, seat.runner, seat.spec)
            for seat in list(self._seats.values())
            if seat.phase is Phase.RUNNING and seat.runner and seat.spec
        ]

    # --- from other threads ---

    def _send(self, message: Message) -> None:
        self._inbox.put(message)

    def _on_orders(self, answer: Orders, at_us: int) -> None:
        self._send(lambda: self._take_orders(answer, at_us))

    def _on_answer(self, fact: Fact, _: FactResult) -> None:
        self._send(lambda: self._answered(fact))

    def _on_stale(self) -> None:
        done = threading.Event()
        self._send(lambda: (self._step(), done.set()) and None)
        done.wait(30.0)

    def _on_refused(self, error: CellRefused) -> None:
        self._send(lambda: self._give_up(error))

    # --- the agent's own thread ---

    def _take_messages(self) -> None:
        """Wait for a message, at most a tick, then take all there are."""
        try:
            message = self._inbox.get(timeout=_TICK_S)
            while True:
                message()
                message = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _step(self) -> None:
        """Reconcile and act."""
        now_us = proc.now_us()
        local = {key: seat.local for key, seat in self._seats.items()}
        for action in reconcile.reconcile(
            self._orders, local, self._deadlines, now_us, self._lease.stop_us
        ):
            self._act(action)
        for seat in list(self._seats.values()):
            if seat.phase is Phase.RUNNING and seat.saves and now_us >= seat.next_save_us:
                self._ask_to_save(seat, now_us)

    def _act(self, action: reconcile.Action) -> None:
        match action:
            case Start(order):
                self._start(order)
            case AskToStop(key):
                self._ask_to_stop(self._seats[key])
            case Kill(key, why):
                self._kill(self._seats[key], why)
            case ReportGone(key, outcome, detail):
                order = (self._orders or {})[key]
                seat = self._seats[key] = Seat(key, order, Phase.ENDED)
                self._tell_end(seat, Ended(*key, outcome.value, None, detail))
            case Forget(key):
                self._forget(key)

    def _take_orders(self, answer: Orders, at_us: int) -> None:
        orders: dict[SeatKey, Order] = {}
        for order in answer.orders:
            if order.key.safe:
                orders[order.key] = order
            else:
                log.error("an order for %r was not understood", order.key)
        self._orders = orders
        self._deadlines = {
            key: at_us + order.deadline_us - answer.now_us
            for key, order in orders.items()
            if order.deadline_us is not None
        }

    def _start(self, order: Order) -> None:
        seat = self._seats[order.key] = Seat(order.key, order, Phase.STARTING)
        seat.folder = self._store.folder(order.key)
        seat.spec = self._spec(order, seat.folder)
        seat.runner = self._choose(order)
        self._starters.submit(self._start_now, seat)

    def _choose(self, order: Order) -> Runner:
        """Docker for an image, if there is an engine; else the first way this node has."""
        names = ["docker", *self._runners] if order.seat.image else list(self._runners)
        for name in names:
            if name in self._runners and (name != "docker" or order.seat.image):
                return self._runners[name]
        return self._runners[next(iter(self._runners))]

    def _spec(self, order: Order, folder: SeatFolder) -> SeatSpec:
        """What the runner gets: the order, and what the node adds to it."""
        wire = order.seat
        gpus = tuple(self._gpus[name] for name in wire.devices if name in self._gpus)
        ids = ",".join(gpu.id for gpu in gpus)
        own = {
            "COMPUTE_JOB_ID": order.job,
            "COMPUTE_ATTEMPT": str(order.attempt),
            "COMPUTE_RANK": str(order.rank),
            "COMPUTE_REPLICAS": str(wire.replicas),
            "COMPUTE_NODE": self._settings.node,
            "COMPUTE_GPUS": ids,
            "CUDA_VISIBLE_DEVICES": ids,
        }
        return SeatSpec(
            key=order.key,
            node=self._settings.node,
            folder=folder,
            command=wire.command,
            environment={**wire.env, **own},
            image=wire.image,
            cpu_milli=wire.cpu_milli,
            memory_bytes=wire.memory_bytes,
            pids=self._settings.pids_limit,
            tmp_bytes=self._settings.tmp_bytes,
            log_bytes=self._settings.log_cap_bytes,
            gpus=gpus,
        )

    def _start_now(self, seat: Seat) -> None:
        """In a starter thread: everything between the order and a running process."""
        try:
            done = self._try_start(seat)
        except (StartFailed, CheckpointBroken) as error:
            done = StartDone(seat.key, failure=str(error))
        except Exception as error:
            log.exception("%s could not be started", seat.key)
            done = StartDone(seat.key, failure=f"{type(error).__name__}: {error}")
        self._send(lambda: self._started(done))

    def _try_start(self, seat: Seat) -> StartDone:
        if seat.folder is None or seat.spec is None or seat.runner is None:
            raise StartFailed("it was never prepared")
        unknown = [name for name in seat.order.seat.devices if name not in self._gpus]
        if unknown:
            raise StartFailed(f"devices: this node has no {', '.join(unknown)}")
        now_us = proc.now_us()
        record = SeatRecord(seat.order, seat.spec.node, self._boot, seat.runner.name, now_us)
        self._store.create(seat.key, record)
        wanted = seat.order.seat.restore
        if wanted is not None:
            restore(wanted.digest, seat.folder.checkpoint, self._objects)
        if seat.killed or proc.now_us() >= self._lease.stop_us:
            raise StartFailed(seat.why or reconcile.LEASE_OVER)
        seat.runner.start(seat.spec)
        return StartDone(seat.key, restored=wanted.digest if wanted else "")

    def _started(self, done: StartDone) -> None:
        seat = self._seats[done.key]
        if done.failure:
            log.warning("%s did not start: %s", seat.key, done.failure)
            outcome = Outcome.STOPPED if seat.killed else Outcome.START_FAILED
            self._tell_end(seat, Ended(*seat.key, outcome.value, None, done.failure))
            return
        if seat.phase is not Phase.STARTING:
            return  # it ended before this message came
        self._runs(seat, resumed=False)
        if done.restored:
            self._reporter.tell(Restored(*seat.key, done.restored))
        if seat.killed:
            seat.killed = False
            self._kill(seat, seat.why)

    def _runs(self, seat: Seat, *, resumed: bool) -> None:
        """It runs: say so, follow its log, think of its checkpoints."""
        seat.phase = Phase.RUNNING
        seat.next_save_us = proc.now_us() + seat.interval_us
        log_file = seat.log_file()
        if log_file is not None:
            self._reporter.follow(seat.key, log_file, resumed=resumed)
        if seat.runner is not None:
            self._reporter.tell(Started(*seat.key, seat.runner.name))

    def _ask_to_stop(self, seat: Seat) -> None:
        if seat.phase is not Phase.RUNNING or seat.runner is None or seat.folder is None:
            return
        seat.folder.write_stop(StopRecord("it was asked to stop"))
        if seat.runner.signal(seat.key, signal.SIGTERM):
            seat.asked = True
        else:  # no process to ask yet, or none any more: it was not stopped by this
            seat.folder.withdraw_stop()

    def _kill(self, seat: Seat, why: str) -> None:
        seat.killed, seat.why = True, why
        if seat.phase is Phase.RUNNING and seat.runner is not None and seat.folder is not None:
            log.info("%s is killed: %s", seat.key, why)
            seat.folder.write_stop(StopRecord(why, killed=True))
            seat.runner.kill(seat.key)

    def _ask_to_save(self, seat: Seat, now_us: int) -> None:
        seat.next_save_us = now_us + seat.interval_us
        if seat.publishing or seat.runner is None or seat.folder is None:
            return
        seat.runner.signal(seat.key, signal.SIGUSR1, only_if_caught=True)
        self._publish(seat, "interval")

    def _publish(self, seat: Seat, cause: str) -> None:
        if seat.folder is not None:
            seat.publishing = True
            self._publisher.submit(Request(seat.key, cause, seat.folder.checkpoint))

    def _exited(self, key: SeatKey) -> None:
        seat = self._seats[key]
        if seat.folder is None or seat.runner is None or seat.phase is Phase.ENDED:
            return
        if seat.phase is Phase.STARTING:  # it ended before its start was told
            self._runs(seat, resumed=False)
            wanted = seat.order.seat.restore
            if wanted is not None:
                self._reporter.tell(Restored(*seat.key, wanted.digest))
        fact = verdict(key, seat.runner.result(key), seat.folder.read_stop())
        seat.phase = Phase.ENDED
        seat.folder.write_ended(fact)
        self._conclude(seat, fact)

    def _conclude(self, seat: Seat, fact: Ended) -> None:
        """The seat is over: its last checkpoint, then the report."""
        seat.ended = fact
        if not seat.saves or fact.outcome == Outcome.START_FAILED or fact.outcome == Outcome.LOST:
            self._tell_end(seat, fact)
        elif not seat.publishing or self._publisher.cancel(seat.key):
            self._publish(seat, "stop" if fact.outcome == Outcome.STOPPED else "exit")

    def _published(self, outcome: PublishOutcome) -> None:
        seat = self._seats.get(outcome.request.key)
        if seat is None or seat.folder is None:
            return
        seat.publishing = False
        done = outcome.publication
        if done is not None and done.digest != seat.last_digest:
            cause = outcome.request.cause
            fact = CheckpointSaved(
                *seat.key, cause, done.digest, done.files, done.bytes, done.new_bytes
            )
            seat.last_digest = done.digest
            seat.folder.write_published(Published(fact))
            self._reporter.tell(fact)
        if seat.ended is None:
            return
        if outcome.request.cause == "interval":
            self._conclude(seat, seat.ended)
        elif outcome.failure:
            detail = f"its last checkpoint was not kept: {outcome.failure}"
            words = [word for word in (seat.ended.detail, detail) if word]
            self._tell_end(
                seat, Ended(*seat.key, seat.ended.outcome, seat.ended.exit_code, "; ".join(words))
            )
        else:
            self._tell_end(seat, seat.ended)

    def _tell_end(self, seat: Seat, fact: Ended) -> None:
        seat.phase, seat.ended = Phase.ENDED, fact
        if seat.folder is not None and seat.folder.path.exists():
            seat.folder.write_ended(fact)
        self._reporter.tell(fact)

    def _answered(self, fact: Fact) -> None:
        seat = self._seats.get(key_of(fact))
        if seat is None or seat.folder is None or not seat.folder.path.exists():
            if seat is not None and isinstance(fact, Ended):
                seat.reported = True
            return
        if isinstance(fact, CheckpointSaved):
            seat.folder.write_published(Published(fact, reported=True))
        elif isinstance(fact, Ended):
            seat.folder.mark_reported()
            seat.reported = True
            self._clean_up(seat)

    def _clean_up(self, seat: Seat) -> None:
        """Nothing of an ended and reported seat is needed but the fact that it was here."""
        self._reporter.forget(seat.key)
        self._publisher.forget(seat.key)
        if seat.runner is not None:
            seat.runner.release(seat.key)
        if seat.folder is not None:
            seat.folder.remove_work()

    def _forget(self, key: SeatKey) -> None:
        seat = self._seats.pop(key)
        if seat.folder is not None:
            seat.folder.remove()

    def _adopt_all(self) -> None:
        """Take over the seats an agent before this one left."""
        for folder, record in self._store.all():
            if record is None:
                folder.remove()  # it died while writing the record: nothing was started
                continue
            self._adopt(folder, record)

    def _adopt(self, folder: SeatFolder, record: SeatRecord) -> None:
        order = record.order
        seat = Seat(order.key, order, Phase.ENDED, folder, self._spec(order, folder))
        seat.runner = self._runners.get(record.runner)
        kept, stop, ended = folder.read_published(), folder.read_stop(), folder.read_ended()
        if kept is not None:
            seat.last_digest = kept.fact.digest
            if not kept.reported:
                self._reporter.tell(kept.fact)
        found = self._find(seat, record)
        if found is Found.NEVER_STARTED and ended is None:
            folder.remove()
            return
        self._seats[order.key] = seat
        seat.reported = folder.reported
        if found is Found.RUNNING:
            seat.asked, seat.killed = stop is not None, stop is not None and stop.killed
            self._runs(seat, resumed=True)
            return
        if seat.reported:
            self._clean_up(seat)
            return
        log_file = seat.log_file()
        if log_file is not None:
            self._reporter.follow(seat.key, log_file, resumed=True)
        if ended is None and found is Found.ENDED and seat.runner is not None:
            ended = verdict(order.key, seat.runner.result(order.key), stop)
            self._reporter.tell(Started(*order.key, record.runner))
        if ended is None:
            ended = Ended(*order.key, Outcome.LOST.value, None, "its process is gone")
        folder.write_ended(ended)
        self._conclude(seat, ended)

    def _find(self, seat: Seat, record: SeatRecord) -> Found:
        """What became of a recorded seat."""
        if record.boot != self._boot or seat.runner is None or seat.spec is None:
            return Found.LOST
        return seat.runner.adopt(seat.spec)

    def _give_up(self, error: CellRefused) -> None:
        if not any(seat.phase is not Phase.ENDED for seat in self._seats.values()):
            self._failure, self._stopping = error, True

    def _stop(self) -> None:
        self._stopping = True

    def _close(self) -> None:
        alive = [str(seat.key) for seat in self._seats.values() if seat.phase is not Phase.ENDED]
        self._keeper.stop()
        self._starters.shutdown(wait=True)
        self._publisher.stop()
        self._reporter.stop()
        for runner in self._runners.values():
            runner.close()
        if alive:
            log.warning(
                "the agent ends; %d seats go on until the lease ends: %s",
                len(alive),
                ", ".join(alive),
            )
