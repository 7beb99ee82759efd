"""MIG instances of a GPU, as an operator made them with `nvidia-smi mig -cgi PROFILE -C`.

The agent makes and removes none. Device files: NVIDIA Multi-Instance GPU User Guide, "Device Nodes
and Capabilities": a process needs those of the GPU and of its GPU and compute instance.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml

from agents.runner import Gpu
from domain.values.ids import DeviceId
from domain.values.mig import Slot

log = logging.getLogger(__name__)
_PROFILE = re.compile(r"[1-7]g\.[0-9]+gb(\+me)?$")
_NO_SUCH = (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT)
_NOT_OFFERED = (*_NO_SUCH, pynvml.NVML_ERROR_NOT_SUPPORTED)


def read(gpu: Gpu, handle: Any, minor: int | None, dev: Path, proc: Path) -> tuple[Gpu, ...]:
    """The instances of a GPU in MIG mode; those no job can use are left out, and why is logged."""
    found = tuple(_instances(gpu, handle, minor, dev, proc))
    if not found:
        log.warning("GPU %d is in MIG mode and has no instance a job could use", gpu.index)
    return found


def _instances(gpu: Gpu, handle: Any, minor: int | None, dev: Path, proc: Path) -> Iterator[Gpu]:
    caps = _caps(proc / "driver/nvidia-caps/mig-minors")
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError as error:
            if error.value in _NO_SUCH:
                continue  # instances may be numbered with holes
            raise
        parts = pynvml.nvmlDeviceGetAttributes(mig)
        if parts.computeInstanceSliceCount != parts.gpuInstanceSliceCount:
            log.warning("GPU %d: an instance cut up further is left out", gpu.index)
            continue
        number = pynvml.nvmlDeviceGetGpuInstanceId(mig)
        compute = pynvml.nvmlDeviceGetComputeInstanceId(mig)
        info = pynvml.nvmlGpuInstanceGetInfo(pynvml.nvmlDeviceGetGpuInstanceById(handle, number))
        profile = _profile(handle, info.profileId)
        if profile is None:
            log.warning("GPU %d: an instance of an unknown profile is left out", gpu.index)
            continue
        slot = Slot(profile, info.placement.start, info.placement.size)
        wanted = [f"gpu{minor}/gi{number}/access", f"gpu{minor}/gi{number}/ci{compute}/access"]
        files = [dev / f"nvidia-caps/nvidia-cap{caps[name]}" for name in wanted if name in caps]
        yield replace(
            gpu,
            id=slot.on(DeviceId(gpu.id)),
            nodes=(*gpu.nodes, *(path for path in files if path.exists())),
            parent=gpu.id,
            slot=slot,
            uuid=str(pynvml.nvmlDeviceGetUUID(mig)),
        )


def _profile(handle: Any, wanted: int) -> str | None:
    """The name of the profile with this id, as in `MIG 1g.10gb`."""
    for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        try:
            info = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, number)
        except pynvml.NVMLError as error:
            if error.value in _NOT_OFFERED:
                continue
            raise
        if info.id == wanted:
            match = _PROFILE.search(str(info.name))
            return match.group(0) if match else None
    return None


def _caps(path: Path) -> dict[str, int]:
    """The numbers of the capability files, by lines such as `gpu0/gi1/ci0/access 13`."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
