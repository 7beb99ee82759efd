"""The node's GPUs: found through NVML where its library loads, or pretended."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pynvml

from agents.runner import Gpu
from agents.wire import GpuUsage
from domain.values.topology import model_of

log = logging.getLogger(__name__)
_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
FAKE_MEMORY_BYTES = 80 * 2**30


def discover(fake: Sequence[str], node: str) -> tuple[Gpu, ...]:
    """Pretended GPUs if any are asked for, else those NVML knows, else none."""
    if fake:
        return tuple(
            Gpu(f"FAKE-{node}-{number}", model, FAKE_MEMORY_BYTES, index=number, fake=True)
            for number, model in enumerate(fake)
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.info("no GPUs: NVML says: %s", error)
        return ()
    return tuple(_read(number) for number in range(pynvml.nvmlDeviceGetCount()))


def _read(number: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    own = Path(f"/dev/nvidia{pynvml.nvmlDeviceGetMinorNumber(handle)}")
    nodes = [path for path in (own, *map(Path, _SHARED_NODES)) if path.exists()]
    return Gpu(
        id=_text(pynvml.nvmlDeviceGetUUID(handle)),
        model=model_of(_text(pynvml.nvmlDeviceGetName(handle))),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        nodes=tuple(nodes),
        index=number,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def usage(gpus: Iterable[Gpu]) -> tuple[GpuUsage, ...]:
    """What real GPUs do now; what cannot be read is left out, a pretended one does nothing."""
    found = []
    for gpu in gpus:
        if gpu.fake:
            continue
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.id.encode())
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
        except pynvml.NVMLError as error:
            log.warning("GPU %s cannot be read: %s", gpu.id, error)
            continue
        found.append(GpuUsage(gpu.id, int(busy), int(used)))
    return tuple(found)
