"""A seat as the agent knows it, and what its job is given."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from agents import proc
from agents.lease import LeaseClock
from agents.reconcile import Local, too_late
from agents.runner import Gpu, NotYet, Result, Runner, SeatSpec
from agents.saving import Saver
from agents.seats import SeatFolder, StopRecord
from agents.wire import Order
from domain.allocation.seat import Outcome

log = logging.getLogger(__name__)
RETRY_S = 0.25
"""Between tries of a runner that does not answer, which cannot tell when it will."""


@dataclass
class Seat:
    """A seat this agent knows."""

    order: Order
    folder: SeatFolder
    spec: SeatSpec
    runner: Runner | None
    local: Local
    saver: Saver | None = None
    looking: bool = False
    looked_us: int = 0
    cpu_us: int | None = None


def environment(order: Order, node: str, owned: tuple[Gpu, ...]) -> dict[str, str]:
    """What the job is given: its own variables, and those of the platform, which win."""
    wire = order.seat
    given: dict[str, Any] = {
        **wire.env,
        "COMPUTE_JOB_ID": order.job,
        "COMPUTE_ATTEMPT": order.attempt,
        "COMPUTE_RANK": order.rank,
        "COMPUTE_REPLICAS": wire.replicas,
        "COMPUTE_NODE": node,
        "COMPUTE_GPUS": ",".join(gpu.id for gpu in owned),
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.visible for gpu in owned),
    }
    return {name: str(value) for name, value in given.items()}


def runner_for(order: Order, runners: Collection[str]) -> str:
    """The runner an order needs: docker for an image, else the sandbox or what stands for it."""
    if order.seat.image is not None:
        return "docker"
    return next((name for name in ("sandbox", "process") if name in runners), "sandbox")


def verdict(result: Result, stop: StopRecord | None) -> tuple[Outcome, str]:
    """How a seat is reported to have ended, and why."""
    if result.failed_start:
        return Outcome.START_FAILED, result.failed_start
    if result.out_of_memory:
        return Outcome.OUT_OF_MEMORY, "it passed its memory limit"
    if stop is not None:
        return Outcome.STOPPED, stop.why
    if result.code is None:
        return Outcome.LOST, result.lost
    return Outcome.EXITED, ""


def until_ready(seat: Seat, clock: LeaseClock) -> tuple[Outcome, str] | None:
    """Wait until the seat may start: None; or until it must not any more: how that is reported."""
    assert seat.runner is not None
    told = False
    while True:
        ready = True
        try:
            seat.runner.prepare(seat.spec)
        except NotYet as error:
            if not told:
                log.warning("%s waits to be started: %s", seat.order.key, error)
            ready, told = False, True
        late = too_late(proc.now_us(), clock.stop_us, seat.local)
        if ready or late is not None:
            return late
        time.sleep(RETRY_S)
