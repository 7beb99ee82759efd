"""The node's lease: the right to run seats, timed by the agent's own clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agents import proc
from agents.cell import Cell, CellAway, CellRefused, NodeTaken, StaleLease
from agents.failpoint import failpoint
from agents.files import read_struct, write_atomic
from agents.wire import Lease, Orders, Registration

log = logging.getLogger(__name__)

LEASE_FILE = "lease.json"
LONGEST_WAIT_MS = 5000


class LeaseRecord(msgspec.Struct, frozen=True):
    """The lease as other processes of this machine may read it: times since boot."""

    boot: str
    end_us: int
    stop_us: int


_record = msgspec.json.Decoder(LeaseRecord)


class LeaseClock:
    """When the lease ends, and when seats must be stopped for it: a tenth of its time before.

    Counted from the moment the request was sent, which is before the cell counted. Kept in a
    file, so that an agent started again within the lease knows it.
    """

    def __init__(self, data: Path, boot: str) -> None:
        self._path = data / LEASE_FILE
        self._boot = boot
        kept = read_struct(self._path, _record)
        mine = kept is not None and kept.boot == boot
        self.stop_us = kept.stop_us if kept is not None and mine else 0

    def renew(self, sent_us: int, ttl_ms: int) -> None:
        """The cell granted `ttl_ms` in answer to a request sent then."""
        end_us, stop_us = lease_times(sent_us, ttl_ms)
        write_atomic(self._path, msgspec.json.encode(LeaseRecord(self._boot, end_us, stop_us)))
        self.stop_us = stop_us

    def give_up(self) -> None:
        """The lease is over now."""
        self.stop_us = 0
        write_atomic(self._path, msgspec.json.encode(LeaseRecord(self._boot, 0, 0)))


def lease_times(sent_us: int, ttl_ms: int) -> tuple[int, int]:
    """When a lease granted for a request sent then ends, and when seats must be stopped for it."""
    end_us = sent_us + ttl_ms * 1000
    return end_us, end_us - min(2_000_000, ttl_ms * 100)


class LeaseKeeper:
    """Registers, renews and hands orders on, in a thread of its own.

    `on_orders` gets every answer and when it came; `on_stale` must have killed every seat when
    it returns; `on_refused` is called when the very first registration is refused for good.
    """

    def __init__(
        self,
        cell: Cell,
        registration: Registration,
        clock: LeaseClock,
        on_orders: Callable[[Orders, int], None],
        on_stale: Callable[[], None],
        on_refused: Callable[[CellRefused], None],
    ) -> None:
        self._cell = cell
        self._registration = registration
        self._clock = clock
        self._on_orders, self._on_stale, self._on_refused = on_orders, on_stale, on_refused
        self._lease: Lease | None = None
        self._seen = ""
        self._ever = False
        self._failures = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No further calls; one under way is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            pause_s = self.step()
            self._stopped.wait(pause_s)

    def step(self) -> float:
        """One call to the cell; seconds to wait before the next."""
        try:
            if self._lease is None:
                self._register()
            else:
                self._renew(self._lease)
        except StaleLease as error:
            log.warning("the lease is not the cell's: every seat is killed (%s)", error)
            self._lease, self._seen = None, ""
            self._clock.give_up()
            self._on_stale()
        except NodeTaken as error:
            log.warning("another boot holds the node: %s", error.detail)
            return 2.0
        except CellRefused as error:
            log.error("the cell refuses this agent: %s", error)
            if not self._ever:
                self._on_refused(error)
            return self._pause()
        except CellAway as error:
            if self._failures in (0, 10):
                log.warning("the cell does not answer: %s", error)
            return self._pause()
        self._failures = 0
        return 0.0

    def _pause(self) -> float:
        """Doubling, from a fifth of a second to three."""
        self._failures += 1
        return min(3.0, 0.1 * 2.0 ** min(self._failures, 10))

    def _register(self) -> None:
        sent_us = proc.now_us()
        granted = self._cell.register(self._registration)
        self._lease, self._ever, self._seen = granted.lease, True, ""
        self._clock.renew(sent_us, granted.lease.ttl_ms)
        log.info(
            "registered as %s; the lease lasts %d ms", self._registration.node, granted.lease.ttl_ms
        )

    def _renew(self, lease: Lease) -> None:
        wait_ms = min(LONGEST_WAIT_MS, lease.ttl_ms // 4)
        sent_us = proc.now_us()
        node, boot = self._registration.node, self._registration.boot
        answer = self._cell.lease(node, boot, lease.nonce, self._seen, wait_ms)
        self._clock.renew(sent_us, answer.lease.ttl_ms)
        self._lease, self._seen = answer.lease, answer.seen
        if answer.orders:
            failpoint("agent.ordered")
        self._on_orders(answer, proc.now_us())
