"""The node's GPUs: found through NVML where its library loads, or pretended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pynvml

from agents import instances
from agents.runner import Gpu
from agents.wire import DeviceWire, GpuUsage, SlotWire
from domain.values.topology import model_of

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_SHARED_NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
FAKE_MEMORY_BYTES = 80 * 2**30
_NOT_HERE = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,  # this GPU does not have it
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,  # this driver does not have it
    pynvml.NVML_ERROR_NO_PERMISSION,
)
_reading = threading.Lock()


def discover(
    fake: Sequence[str], node: str, dev: Path = Path("/dev"), proc: Path = Path("/proc")
) -> tuple[Gpu, ...]:
    """Pretended GPUs if any are asked for, else those that NVML can read, else none.

    Of a GPU in MIG mode, the instances that an operator has made.
    """
    if fake:
        return tuple(
            Gpu(f"FAKE-{node}-{number}", model, FAKE_MEMORY_BYTES, index=number, fake=True)
            for number, model in enumerate(fake)
        )
    with _reading:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError_LibraryNotFound as error:
            log.info("no GPUs: NVML says: %s", error)
            return ()
        except pynvml.NVMLError as error:
            log.warning("no GPUs, though NVML is installed; it says: %s", error)
            return ()
        return tuple(gpu for number in range(count) for gpu in _read(number, dev, proc))


def offered(gpus: Iterable[Gpu]) -> tuple[DeviceWire, ...]:
    """GPUs as a registration lists them: those in MIG mode once, with their instances."""
    found: dict[str, DeviceWire] = {}
    for gpu in gpus:
        name = gpu.parent or gpu.id
        slots = found[name].mig if name in found else ()
        if gpu.slot is not None:
            slots = (*slots, SlotWire(gpu.slot.profile, gpu.slot.start, gpu.slot.size))
        found[name] = DeviceWire(name, gpu.model, gpu.memory_bytes, slots)
    return tuple(found.values())


def usage(gpus: Iterable[Gpu]) -> tuple[GpuUsage, ...]:
    """What real GPUs do now; what cannot be read is left out, a pretended one does nothing.

    A broken GPU can hold a call for minutes: meanwhile others get no answer instead of waiting.
    """
    if not _reading.acquire(blocking=False):
        return ()
    try:
        found = [_use(gpu) for gpu in gpus if not gpu.fake]
    finally:
        _reading.release()
    return tuple(use for use in found if use is not None)


def _read(number: int, dev: Path, proc: Path) -> tuple[Gpu, ...]:
    """One GPU as it is offered; nothing, and why in the log, if no job could use it."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        cut = bool(_if_any(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0]))
        name = str(pynvml.nvmlDeviceGetName(handle))
        memory = _if_any(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))
        minor = _if_any(lambda: int(pynvml.nvmlDeviceGetMinorNumber(handle)))
        uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        nodes = (dev / name for name in (f"nvidia{minor}", *_SHARED_NODES) if minor is not None)
        there = tuple(path for path in nodes if path.exists())
        gpu = Gpu(uuid, model_of(name), memory or 0, there, index=number)
        found = instances.read(gpu, handle, minor, dev, proc) if cut else (gpu,)
    except pynvml.NVMLError as error:
        log.warning("GPU %d is left out: NVML says: %s", number, error)
        return ()
    if minor is None:  # its index may be another GPU's number: rather no device file than that
        log.warning("GPU %d does not tell its device file: only containers can use it", number)
    return found


def _use(gpu: Gpu) -> GpuUsage | None:
    """What one GPU does now; None if it answers nothing."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.visible.encode())
        busy = _if_any(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))
        used = _if_any(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used))
    except pynvml.NVMLError as error:
        log.warning("GPU %s cannot be read: %s", gpu.id, error)
        return None
    return GpuUsage(gpu.id, busy, used)


def _if_any(read: Callable[[], _T]) -> _T | None:
    """What `read` says, or None where the GPU, its driver or our rights do not offer it."""
    try:
        return read()
    except pynvml.NVMLError as error:
        if error.value in _NOT_HERE:
            return None
        raise
