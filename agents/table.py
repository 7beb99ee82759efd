"""The seats an agent knows, in memory."""

from __future__ import annotations

from dataclasses import dataclass

from agents.logs import LogFile
from agents.reconcile import Local, Phase
from agents.runner import Result, Runner, SeatSpec
from agents.seats import SeatFolder, StopRecord
from agents.wire import Ended, Order, SeatKey
from domain.allocation.seat import Outcome


@dataclass
class Seat:
    """One seat and how far it has come. `folder` None: it never was more than an order."""

    key: SeatKey
    order: Order
    phase: Phase
    folder: SeatFolder | None = None
    spec: SeatSpec | None = None
    runner: Runner | None = None
    asked: bool = False
    killed: bool = False
    why: str = ""
    ended: Ended | None = None
    reported: bool = False
    publishing: bool = False
    last_digest: str = ""
    next_save_us: int = 0

    @property
    def local(self) -> Local:
        return Local(self.phase, self.asked, self.killed, self.reported)

    @property
    def saves(self) -> bool:
        """Whether the seat takes part in the checkpoint contract."""
        return self.order.seat.checkpointing.enabled

    @property
    def interval_us(self) -> int:
        return max(1, self.order.seat.checkpointing.interval_seconds) * 1_000_000

    def log_file(self) -> LogFile | None:
        if self.spec is None or self.folder is None:
            return None
        return LogFile(self.folder.log, self.spec.log_bytes)


def verdict(key: SeatKey, result: Result, stop: StopRecord | None) -> Ended:
    """How a seat ended: a seat that was asked to stop is stopped, whatever its exit code."""

    def ended(outcome: Outcome, code: int | None, detail: str = "") -> Ended:
        return Ended(key.allocation, key.rank, outcome.value, code, detail)

    if stop is not None:
        return ended(Outcome.STOPPED, result.code, stop.why)
    if result.failed_start:
        return ended(Outcome.START_FAILED, None, result.failed_start)
    if result.out_of_memory:
        return ended(Outcome.OUT_OF_MEMORY, result.code, "it went over its memory limit")
    if result.code is None:
        return ended(Outcome.LOST, None, "it ended, but its exit code was not recorded")
    return ended(Outcome.EXITED, result.code)
