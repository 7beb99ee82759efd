"""HyperQueue as a measured peer: the wheel, in the Python that COMPUTE_BENCH_HYPERQUEUE names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.contest import CLIENTS, SLOTS, Contestant

SCRIPT = Path(__file__).with_name("hq_load.py")


def _python() -> str:
    return os.environ.get("COMPUTE_BENCH_HYPERQUEUE", sys.executable)


class HyperQueue:
    """A local cluster of its own for every measurement; it keeps everything in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def submit(self, count: int) -> float:
        return float(self._measure("submit", count))

    def starts(self, count: int) -> list[float]:
        return [float(each) for each in self._measure("starts", count)]

    def batch(self, count: int) -> float:
        return float(self._measure("batch", count))

    def singles(self, count: int) -> float:
        return float(self._measure("singles", count))

    def _measure(self, what: str, count: int) -> Any:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            words = [folder, what, str(count), str(CLIENTS), str(SLOTS)]
            done = subprocess.run(
                [_python(), str(SCRIPT), *words],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"HyperQueue: {done.stderr[-1000:]}")
        return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _running(folder: Path) -> Iterator[HyperQueue]:
    yield HyperQueue(folder)


def _missing() -> str:
    command = [_python(), "-c", "import hyperqueue"]
    try:
        found = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        found = False
    return "" if found else f"{_python()} has no package hyperqueue (COMPUTE_BENCH_HYPERQUEUE)"


HYPERQUEUE = Contestant("hyperqueue", _missing, _running)
