"""The node's GPUs: found through NVML where its library loads, or pretended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pynvml

from agents.runner import Gpu
from agents.wire import GpuUsage
from domain.values.topology import model_of

log = logging.getLogger(__name__)
_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
FAKE_MEMORY_BYTES = 80 * 2**30
_lock = threading.Lock()  # one thread at a time asks: drivers serialise it anyway, some badly


def discover(fake: Sequence[str], node: str) -> tuple[Gpu, ...]:
    """Pretended GPUs if any are asked for, else those that answer NVML, else none.

    One that does not answer (fallen off the bus, in error) is left out and said aloud.
    """
    if fake:
        return tuple(
            Gpu(f"FAKE-{node}-{number}", model, FAKE_MEMORY_BYTES, index=number, fake=True)
            for number, model in enumerate(fake)
        )
    with _lock:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            log.info("no GPUs: NVML says: %s", error)
            return ()
        found = [_read(number) for number in range(count)]
    return tuple(gpu for gpu in found if gpu is not None)


def _read(number: int) -> Gpu | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
        name = _text(pynvml.nvmlDeviceGetName(handle))
        memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except (pynvml.NVMLError, UnicodeDecodeError) as error:
        log.warning("GPU %d is left out: %s", number, error)
        return None
    own = Path(f"/dev/nvidia{_minor(handle, number)}")
    nodes = [path for path in (own, *map(Path, _SHARED_NODES)) if path.exists()]
    return Gpu(uuid, model_of(name), memory, tuple(nodes), number)


def _minor(handle: Any, number: int) -> int:
    """The number of the device file; that of the GPU where it is not told."""
    try:
        return int(pynvml.nvmlDeviceGetMinorNumber(handle))
    except pynvml.NVMLError:
        return number


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def usage(gpus: Iterable[Gpu]) -> tuple[GpuUsage, ...]:
    """What real GPUs do now; one that cannot be read is left out, a pretended one does nothing.

    A GPU cut up by MIG tells no utilisation of the whole: it counts as 0 there.
    """
    with _lock:
        found = [_usage(gpu) for gpu in gpus if not gpu.fake]
    return tuple(used for used in found if used is not None)


def _usage(gpu: Gpu) -> GpuUsage | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.id.encode())
        used = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError as error:
        log.warning("GPU %s cannot be read: %s", gpu.id, error)
        return None
    try:
        busy = int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except pynvml.NVMLError as error:
        log.debug("GPU %s tells no utilisation: %s", gpu.id, error)
        busy = 0
    return GpuUsage(gpu.id, min(100, busy), used)
