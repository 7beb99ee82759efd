"""GPUs through the real NVML binding, over a shared library of our own in place of NVIDIA's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.real_parts import need

SHIM = Path(__file__).with_name("nvml_shim.c")
LOOK = """
import json, sys
from dataclasses import asdict
from pathlib import Path
import msgspec
from agents import gpus
found = gpus.discover((), "node-1", Path(sys.argv[1]), Path(sys.argv[1]))
used = msgspec.json.decode(msgspec.json.encode(gpus.usage(found)))
print(json.dumps({"gpus": [asdict(gpu) for gpu in found], "used": used,
    "visible": [gpu.visible for gpu in found],
    "offered": msgspec.to_builtins(gpus.offered(found))}, default=str))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the stand-in library."""
    return build(tmp_path_factory.mktemp("nvml"))


def build(folder: Path, *options: str) -> Path:
    need(shutil.which("gcc") is not None, "gcc is not installed")
    target = str(folder / "libnvidia-ml.so.1")
    words = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", target, str(SHIM)]
    subprocess.run(words, check=True)
    return folder


def environment(library: Path, kinds: str) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(library), "NVML_SHIM": kinds}


def look(library: Path, kinds: str, dev: Path) -> tuple[dict[str, Any], str]:
    """What the agent finds on a machine with such GPUs, and what it says aloud."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(dev)],
        env=environment(library, kinds),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_gpus_are_read_with_their_own_device_files(library: Path, tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    found, said = look(library, "good,good", tmp_path)
    common = {"model": "A100", "memory_bytes": 80 * 2**30, "fake": False}
    common |= {"parent": "", "slot": None, "uuid": ""}
    control = str(tmp_path / "nvidiactl")
    assert found["gpus"] == [
        {"id": "GPU-0", "nodes": [str(tmp_path / "nvidia1"), control], "index": 0, **common},
        {"id": "GPU-1", "nodes": [str(tmp_path / "nvidia0"), control], "index": 1, **common},
    ]
    assert found["used"] == [
        {"device": f"GPU-{n}", "util_percent": 91, "memory_bytes": 2**30} for n in (0, 1)
    ]
    assert said == ""


@pytest.mark.parametrize("broken", ["lost", "nouuid", "mig"])
def test_one_gpu_that_cannot_be_used_hides_no_other(
    library: Path, tmp_path: Path, broken: str
) -> None:
    found, said = look(library, f"good,{broken},good", tmp_path)
    assert [gpu["id"] for gpu in found["gpus"]] == ["GPU-0", "GPU-2"]
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 2]
    assert [use["device"] for use in found["used"]] == ["GPU-0", "GPU-2"]
    assert "GPU 1 is" in said


def test_the_instances_of_a_gpu_in_mig_mode_are_offered_at_their_places(
    library: Path, tmp_path: Path
) -> None:
    minors = tmp_path / "driver/nvidia-caps/mig-minors"
    minors.parent.mkdir(parents=True)
    names = {"gpu1/gi2/access": 21, "gpu1/gi2/ci0/access": 22, "gpu0/gi2/access": 7, "config": 1}
    minors.write_text("".join(f"{name} {number}\n" for name, number in names.items()))
    (tmp_path / "nvidia-caps").mkdir()
    for name in ("nvidia1", "nvidiactl", *(f"nvidia-caps/nvidia-cap{n}" for n in (7, 21, 22))):
        (tmp_path / name).touch()
    found, said = look(library, "cut,good", tmp_path)
    assert found["offered"] == [
        {
            "id": "GPU-0",
            "model": "A100",
            "memory_bytes": 80 * 2**30,
            "mig": [
                {"profile": "3g.40gb", "start": 4, "size": 4},
                {"profile": "1g.10gb+me", "start": 0, "size": 1},
            ],
        },
        {"id": "GPU-1", "model": "A100", "memory_bytes": 80 * 2**30},
    ]
    assert [gpu["id"] for gpu in found["gpus"]] == [
        "GPU-0/3g.40gb@4:4",
        "GPU-0/1g.10gb+me@0:1",
        "GPU-1",
    ]
    assert found["visible"] == ["MIG-0-0", "MIG-0-2", "GPU-1"]
    parts = ("nvidia1", "nvidiactl", "nvidia-caps/nvidia-cap21", "nvidia-caps/nvidia-cap22")
    assert found["gpus"][0]["nodes"] == [str(tmp_path / part) for part in parts]
    assert found["gpus"][1]["nodes"] == [str(tmp_path / part) for part in parts[:2]]
    assert found["used"][0] == {"device": "GPU-0/3g.40gb@4:4", "memory_bytes": 2**30}
    assert "cut up further" in said


def test_what_a_gpu_does_not_tell_is_absent(library: Path, tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    found, said = look(library, "bare,good", tmp_path)
    [bare, good] = found["gpus"]
    assert (bare["model"], bare["memory_bytes"], bare["nodes"]) == ("GB200", 0, [])
    assert found["used"][0] == {"device": "GPU-0"}
    assert good["nodes"] == [str(tmp_path / "nvidia0"), str(tmp_path / "nvidiactl")]
    assert "device file" in said


def test_a_gpu_lost_while_it_is_used_leaves_the_others_usage(library: Path, tmp_path: Path) -> None:
    found, said = look(library, "dying,good", tmp_path)
    assert len(found["gpus"]) == 2
    assert [use["device"] for use in found["used"]] == ["GPU-1"]
    assert "GPU-0 cannot be read" in said


def test_a_driver_too_old_for_mig_is_fine(tmp_path: Path) -> None:
    found, _ = look(build(tmp_path, "-DNVML_SHIM_OLD"), "good", tmp_path)
    assert [gpu["id"] for gpu in found["gpus"]] == ["GPU-0"]


def test_without_a_driver_there_are_no_gpus_and_it_is_said(library: Path, tmp_path: Path) -> None:
    found, said = look(library, "driver", tmp_path)
    assert found == {"gpus": [], "used": [], "visible": [], "offered": []}
    assert "Driver Not Loaded" in said


def test_a_library_that_does_not_load_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")
    found, said = look(tmp_path, "good", tmp_path)
    assert found == {"gpus": [], "used": [], "visible": [], "offered": []}
    assert said == "", "most machines have none: nothing to warn of"


def test_the_agent_registers_what_nvml_found(library: Path, tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    class Cell(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at the bodies."""

    with HTTPServer(("127.0.0.1", 0), Cell) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ["--url", f"http://127.0.0.1:{server.server_port}", "--token", "t"]
        words += ["--data", str(tmp_path), "--runners", "process"]
        done = subprocess.run(
            [sys.executable, "-m", "agents", *words],
            env=environment(library, "good,lost,bare"),
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
    assert "the cell refuses this agent" in done.stderr
    assert bodies[0]["devices"] == [
        {"id": "GPU-0", "model": "A100", "memory_bytes": 80 * 2**30},
        {"id": "GPU-2", "model": "GB200", "memory_bytes": 0},
    ]
