"""The exact create call of a container: nothing is passed on that is not in the typed spec."""

from __future__ import annotations

from pathlib import Path

from agents.docker import create_options
from agents.runner import Gpu, SeatSpec
from agents.seats import SeatFolder
from agents.wire import SeatKey


def test_the_call_is_exactly_this() -> None:
    spec = SeatSpec(
        key=SeatKey("alloc-1", 2),
        node="node-1",
        folder=SeatFolder(Path("/data/seats/alloc-1.2")),
        command=("python", "train.py"),
        environment={"A": "1", "LD_PRELOAD": "/evil.so", "NVIDIA_VISIBLE_DEVICES": "all"},
        image="pytorch:latest",
        cpu_milli=1500,
        memory_bytes=2**30,
        gpus=(Gpu("GPU-1", "A100", 1), Gpu("FAKE-2", "A100", 1, fake=True)),
    )
    options = create_options(spec)
    assert options.pop("device_requests") == [
        {
            "Driver": "",
            "Count": 0,
            "DeviceIDs": ["GPU-1"],
            "Capabilities": [["gpu"]],
            "Options": {},
        }
    ]
    assert options.pop("ulimits") == [
        {"Name": "core", "Soft": 0, "Hard": 0},
        {"Name": "nofile", "Soft": 1024, "Hard": 4096},
    ]
    log = options.pop("log_config")
    assert (log["Type"], log["Config"]["max-file"]) == ("json-file", "1")
    assert options == {
        "image": "pytorch:latest",
        "command": ["python", "train.py"],
        "entrypoint": [],
        "name": "compute-alloc-1-2",
        "labels": {
            "compute.allocation": "alloc-1",
            "compute.rank": "2",
            "compute.node": "node-1",
        },
        "environment": {"A": "1", "HOME": "/job", "COMPUTE_CHECKPOINT_DIR": "/checkpoint"},
        "user": "65534:65534",
        "working_dir": "/job",
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "pids_limit": 4096,
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=1073741824,mode=1777"},
        "volumes": {
            "/data/seats/alloc-1.2/work": {"bind": "/job", "mode": "rw"},
            "/data/seats/alloc-1.2/checkpoint": {"bind": "/checkpoint", "mode": "rw"},
        },
        "mem_limit": 2**30,
        "memswap_limit": 2**30,
        "cpu_period": 100_000,
        "cpu_quota": 150_000,
    }
