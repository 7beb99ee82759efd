"""What only an NVIDIA GPU can show. CI has none: without one these are left out there too."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest

from agents import gpus
from agents.runner import Gpu
from domain.values.mig import SLICED_MODELS, STARTS
from domain.values.topology import model_of
from tests.agents.conftest import Bench

pytestmark = pytest.mark.skipif(
    not Path("/proc/driver/nvidia").exists(), reason="this machine has no NVIDIA driver"
)
MEBIBYTE = 2**20
INVALID = (pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_FOUND)
HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, at = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
cuda.cuInit(0)
cuda.cuDeviceGet(ctypes.byref(device), 0)
cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device)
print("held", cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(2**30)), flush=True)
sys.stdin.read()
"""
COUNT = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
print("CUDA", cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count)), count.value)
"""


@pytest.fixture(scope="module")
def found() -> tuple[Gpu, ...]:
    """The GPUs as the agent finds them."""
    there = gpus.discover((), "node-1")
    assert there, "there is a driver, so there is a GPU"
    return there


def smi(what: str) -> list[list[str]]:
    """What nvidia-smi answers, a list of values for each GPU."""
    words = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [line.split(", ") for line in text.splitlines()]


def test_gpus_are_those_that_the_driver_s_own_program_lists(found: tuple[Gpu, ...]) -> None:
    listed = smi("index,uuid,name,memory.total")
    assert [[str(gpu.index), gpu.id] for gpu in found] == [row[:2] for row in listed]
    assert [gpu.model for gpu in found] == [model_of(row[2]) for row in listed]
    for gpu, row in zip(found, listed, strict=True):
        assert abs(gpu.memory_bytes // MEBIBYTE - int(row[3])) <= 1
        assert {path.name for path in gpu.nodes} >= {"nvidiactl", "nvidia-uvm"}
    assert [device.id for device in gpus.offered(found)] == [gpu.id for gpu in found]


def test_memory_that_a_program_takes_is_seen(found: tuple[Gpu, ...]) -> None:
    before = gpus.usage(found)[0].memory_bytes
    program = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "held 0\n"
    during = gpus.usage(found)[0]
    assert before is not None
    assert during.memory_bytes is not None
    assert during.memory_bytes - before >= 1024 * MEBIBYTE
    assert during.util_percent in range(101)
    program.communicate("")


@pytest.mark.parametrize("bench", ["sandbox", "namespaces", "process"], indirect=True)
def test_a_seat_computes_on_the_gpus_it_was_given(bench: Bench, found: tuple[Gpu, ...]) -> None:
    spec = bench.spec(
        f"{sys.executable} -c '{COUNT}'",
        gpus=found[:1],
        environment={"CUDA_VISIBLE_DEVICES": found[0].visible},
    )
    bench.runner.start(spec)
    assert bench.ended(spec).code == 0
    assert "CUDA 0 0 1" in spec.folder.log.read_text()


@pytest.mark.parametrize("bench", ["sandbox", "namespaces"], indirect=True)
def test_a_seat_without_a_gpu_reaches_none(bench: Bench) -> None:
    """Whatever it says in its environment: there is no device file to open."""
    spec = bench.spec(f"env -u CUDA_VISIBLE_DEVICES {sys.executable} -c '{COUNT}'; ls /dev")
    bench.runner.start(spec)
    assert bench.ended(spec).code == 0
    said = spec.folder.log.read_text()
    assert re.search(r"CUDA [1-9]\d* ", said), "cuInit refuses"
    assert "nvidia" not in said.partition("CUDA")[2].partition("\n")[2]


def placements(handle: Any, profile: int) -> list[tuple[int, int]]:
    """Where the driver would lay an instance of a profile: (first, number of) memory slices."""
    count = ctypes.c_uint()
    ask = pynvml.nvmlDeviceGetGpuInstancePossiblePlacements
    ask(handle, profile, None, ctypes.byref(count))
    places = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    ask(handle, profile, places, ctypes.byref(count))
    return [(place.start, place.size) for place in places[: count.value]]


def test_mig_instances_may_lie_where_the_driver_says(found: tuple[Gpu, ...]) -> None:
    """The table of places (domain/values/mig.py) against the driver's own."""
    if found[0].model not in SLICED_MODELS:
        pytest.skip(f"{found[0].model}: the driver's places are taken as they are")
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    seen: dict[tuple[int, int], tuple[int, ...]] = {}
    for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        try:
            info = pynvml.nvmlDeviceGetGpuInstanceProfileInfo(handle, number)
            places = placements(handle, info.id)
        except pynvml.NVMLError as error:
            if error.value not in (pynvml.NVML_ERROR_NOT_SUPPORTED, *INVALID):
                raise
            continue
        [size] = {size for _, size in places}
        starts = tuple(sorted(start for start, _ in places))
        assert seen.setdefault((info.sliceCount, size), starts) == starts
        print(info.name, "at", starts, "size", size)
    if not seen:
        pytest.skip("the driver lists no places while MIG is off")
    assert seen == STARTS
