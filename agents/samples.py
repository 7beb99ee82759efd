"""What seats use, told to the cell every few seconds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor

import msgspec

from agents import gpus
from agents.cell import Cell, CellError
from agents.known import Seat
from agents.reconcile import Phase
from agents.runner import Gpu
from agents.wire import Sample, SeatKey

log = logging.getLogger(__name__)
SAMPLE_US = 5_000_000


class Sampler:
    """Takes samples of running seats; sends them in the background and drops what fails."""

    def __init__(self, cell: Cell, node: str, boot: str, workers: Executor) -> None:
        self._cell = cell
        self._node = node
        self._boot = boot
        self._workers = workers
        self._sampled_us = 0

    def take(self, seats: Mapping[SeatKey, Seat], now: int) -> None:
        """Look at the seats, if it is time again."""
        if now - self._sampled_us < SAMPLE_US:
            return
        samples: list[tuple[Sample, tuple[Gpu, ...]]] = []
        for key, seat in seats.items():
            if seat.runner is None or seat.local.phase is not Phase.RUNNING:
                continue
            used = seat.runner.usage(key)
            if used is None:
                continue
            if seat.cpu_us is not None and self._sampled_us:
                milli = max(0, used.cpu_us - seat.cpu_us) * 1000 // (now - self._sampled_us)
                samples.append((Sample(*key, milli, used.memory_bytes), seat.spec.gpus))
            seat.cpu_us = used.cpu_us
        self._sampled_us = now
        if samples:
            self._workers.submit(self._send, samples)

    def _send(self, samples: list[tuple[Sample, tuple[Gpu, ...]]]) -> None:
        """Read the GPUs too, here in a worker: a broken one can hold the call."""
        whole = [msgspec.structs.replace(own, gpus=gpus.usage(used)) for own, used in samples]
        try:
            self._cell.send_samples(self._node, self._boot, whole)
        except CellError as error:
            log.info("samples were dropped: %s", error)
