"""GPUs through NVML: a real library is loaded, made here, with the faults that drivers show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents import gpus
from tests.real_parts import need

ASK = """
import json, logging, sys
from concurrent.futures import ThreadPoolExecutor
from agents import gpus
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
found = gpus.discover((), "node")
with ThreadPoolExecutor(8) as pool:
    [used, *others] = pool.map(lambda _: gpus.usage(found), range(40))
assert all(other == used for other in others)
print(json.dumps({
    "gpus": [[g.id, g.model, g.memory_bytes, g.index] for g in found],
    "usage": [[u.device, u.util_percent, u.memory_bytes] for u in used],
}))
"""
GIB = 2**30


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libnvidia-ml.so.1."""
    compiler = shutil.which("gcc")
    need(compiler is not None, "no C compiler (gcc)")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml_shim.c")
    words = [str(compiler), "-Wall", "-Werror", "-shared", "-fPIC", str(source)]
    subprocess.run([*words, "-o", str(folder / "libnvidia-ml.so.1")], check=True)
    return folder


def ask(library: Path | None, shim: str) -> tuple[dict[str, Any], str]:
    """What the agent makes of such GPUs, in a process of its own, and what it said."""
    env = {**os.environ, "SHIM_GPUS": shim, "LD_LIBRARY_PATH": str(library or "/nowhere")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_gpus_are_found_with_their_figures(library: Path) -> None:
    told, _ = ask(library, "gg")
    assert told["gpus"] == [[f"GPU-shim-{n}", "H100", 80 * GIB, n] for n in (0, 1)]
    assert told["usage"] == [[f"GPU-shim-{n}", 42, GIB] for n in (0, 1)]


@pytest.mark.parametrize(
    ("shim", "found", "used", "said"),
    [
        ("lg", ["GPU-shim-1"], ["GPU-shim-1"], "GPU 0 is left out"),
        ("gn", ["GPU-shim-0"], ["GPU-shim-0"], "GPU 1 is left out"),
        ("dg", ["GPU-shim-0", "GPU-shim-1"], ["GPU-shim-1"], "GPU-shim-0 cannot be read"),
        ("mg", ["GPU-shim-0", "GPU-shim-1"], ["GPU-shim-0", "GPU-shim-1"], ""),
        ("ll", [], [], "GPU 1 is left out"),
        ("", [], [], ""),
        ("none", [], [], "no GPUs"),
    ],
)
def test_one_that_fails_hides_no_other(
    library: Path, shim: str, found: list[str], used: list[str], said: str
) -> None:
    told, log = ask(library, shim)
    assert [gpu[0] for gpu in told["gpus"]] == found
    assert [gpu[0] for gpu in told["usage"]] == used
    assert said in log
    assert "Traceback" not in log


def test_a_gpu_cut_by_mig_still_tells_its_memory(library: Path) -> None:
    told, _ = ask(library, "u")
    assert told["usage"] == [["GPU-shim-0", 0, GIB]]


def test_without_the_library_there_are_none() -> None:
    if Path("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").exists():
        pytest.skip("this machine has the real library")
    told, log = ask(None, "gg")
    assert told == {"gpus": [], "usage": []}
    assert "no GPUs" in log


def test_pretended_gpus_keep_their_ids_and_use_nothing() -> None:
    first, again = (gpus.discover(("A100", "H100"), "node") for _ in range(2))
    assert first == again
    assert [(gpu.model, gpu.fake) for gpu in first] == [("A100", True), ("H100", True)]
    assert gpus.usage(first) == ()
