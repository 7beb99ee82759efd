"""A sandbox without bubblewrap: Linux namespaces made by a program of our own (`enter.py`)."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from agents import enter, layout, shim
from agents.files import read_text, write_atomic
from agents.launch import CachedLayout, seccomp_filter
from agents.runner import SeatSpec, StartFailed


class NamespacesLauncher:
    """The isolation of bubblewrap where that is not installed and namespaces are permitted."""

    depth = 3
    isolated = True

    def __init__(
        self, data: Path, mask: Sequence[Path], expose: Sequence[Path], *, limit_processes: bool
    ) -> None:
        if platform.machine() not in enter.PIVOT_ROOT:
            raise StartFailed(f"namespaces: not known on {platform.machine()}")
        self.uid = layout.NOBODY if os.geteuid() == 0 else os.geteuid()
        self._layout = CachedLayout(layout.Host(self.uid, tuple(mask), tuple(expose)))
        self._limit_processes = limit_processes
        self._filter = data / "seccomp"
        write_atomic(self._filter, seccomp_filter())

    def launch(self, spec: SeatSpec, environment: Mapping[str, str], joins: Sequence[Path]) -> int:
        folder = spec.folder.path
        given = {"HOME": layout.WORK, "PWD": layout.WORK, **environment}
        given["COMPUTE_CHECKPOINT_DIR"] = layout.CHECKPOINT
        processes = spec.pids if self._limit_processes else 0
        environment_path, root = folder / "environment", folder / "root"
        environment_path.write_bytes(shim.environment_file(given, processes))
        environment_path.chmod(0o444)
        root.mkdir(exist_ok=True)
        devices = [path for gpu in spec.gpus for path in gpu.nodes]
        plan = {
            "root": str(root),
            "mounts": [
                asdict(mount) for mount in self._layout.mounts(spec, environment_path, devices)
            ],
            "hostname": f"seat-{spec.key.rank}",
            "filter": str(self._filter),
            "user": self.uid,
        }
        (folder / "plan").write_text(json.dumps(plan))
        command = [sys.executable, "-IS", str(Path(enter.__file__)), str(folder / "plan")]
        command += ["/bin/sh", "-c", shim.ENTER, "sh", layout.WORK, layout.ENVIRONMENT]
        return shim.spawn(folder, [*command, *spec.command], joins=joins)

    def failed_start(self, spec: SeatSpec, code: int) -> str:
        return read_text(spec.folder.path / "failed").strip() if code == 125 else ""

    def close(self) -> None:
        """Nothing is held."""
