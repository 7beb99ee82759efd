"""A seat as the agent knows it, and what its job is given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from agents.reconcile import Local
from agents.runner import ENDED_CODE_UNKNOWN, Gpu, Result, Runner, SeatSpec
from agents.saving import Saver
from agents.seats import SeatFolder, StopRecord
from agents.wire import Order
from domain.allocation.seat import Outcome


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
        return Outcome.LOST, ENDED_CODE_UNKNOWN
    return Outcome.EXITED, ""
