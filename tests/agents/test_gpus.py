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
found = gpus.discover((), "node-1", Path(sys.argv[1]))
used = msgspec.json.decode(msgspec.json.encode(gpus.usage(found)))
print(json.dumps({"gpus": [asdict(gpu) for gpu in found], "used": used}, default=str))
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
    assert found == {"gpus": [], "used": []}
    assert "Driver Not Loaded" in said


def test_a_library_that_does_not_load_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")
    found, said = look(tmp_path, "good", tmp_path)
    assert found == {"gpus": [], "used": []}
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
