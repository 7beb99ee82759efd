"""Ways to start a seat's command on this machine: isolated or not. One shape for all."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from agents import bubblewrap, layout, proc, seccomp, shim
from agents.files import read_text, write_atomic
from agents.runner import SeatSpec, StartFailed

log = logging.getLogger(__name__)


class Launcher(Protocol):
    """Starts commands; the process it names writes `pid` and `exit` as the shim does.

    `depth` is how many first children lie between that process and the job's main one.
    `isolated`: nothing of the seat outlives its first child.
    """

    @property
    def depth(self) -> int: ...

    @property
    def isolated(self) -> bool: ...

    @property
    def uid(self) -> int: ...

    def launch(
        self, spec: SeatSpec, environment: Mapping[str, str], joins: Sequence[Path]
    ) -> int: ...

    def failed_start(self, spec: SeatSpec, code: int) -> str:
        """Why the command never ran although the shim did; empty if it ran."""
        ...

    def close(self) -> None: ...


class PlainLauncher:
    """No isolation at all: the job runs as the agent's user and can reach what it can."""

    depth = 1
    isolated = False

    def __init__(self) -> None:
        self.uid = os.geteuid()

    def launch(self, spec: SeatSpec, environment: Mapping[str, str], joins: Sequence[Path]) -> int:
        folder = spec.folder
        given = {"HOME": str(folder.work), "PWD": str(folder.work), **environment}
        given["COMPUTE_CHECKPOINT_DIR"] = str(folder.checkpoint)
        (folder.path / "environment").write_bytes(shim.environment_file(given))
        return shim.spawn(folder.path, spec.command, joins=joins, work=str(folder.work))

    def failed_start(self, spec: SeatSpec, code: int) -> str:
        return read_text(spec.folder.path / "failed").strip() if code == 125 else ""

    def close(self) -> None:
        """Nothing is held."""


class CachedLayout:
    """The mounts of seats; the shared part is looked up anew when it is some seconds old."""

    fresh_s = 5.0

    def __init__(self, host: layout.Host) -> None:
        self._host = host
        self._shared: tuple[float, int, list[layout.Mount]] | None = None

    def mounts(
        self, spec: SeatSpec, environment: Path, devices: Sequence[Path]
    ) -> list[layout.Mount]:
        now, kept = time.monotonic(), self._shared
        if kept is None or now - kept[0] > self.fresh_s or kept[1] != spec.tmp_bytes:
            self._shared = kept = (now, spec.tmp_bytes, layout.shared(self._host, spec.tmp_bytes))
        own = layout.private(spec.folder.work, spec.folder.checkpoint, environment, devices)
        return kept[2] + own


class BubblewrapLauncher:
    """bubblewrap: namespaces, a file system of its own, no capabilities, a seccomp filter."""

    depth = 3
    isolated = True

    def __init__(
        self, data: Path, mask: Sequence[Path], expose: Sequence[Path], *, limit_processes: bool
    ) -> None:
        self._bwrap = shutil.which("bwrap") or ""
        self._root = os.geteuid() == 0
        self._setpriv = shutil.which("setpriv") if self._root else ""
        if not self._bwrap or self._setpriv is None:
            raise StartFailed(f"{'setpriv' if self._bwrap else 'bwrap'} is not installed")
        self.uid = layout.NOBODY if self._root else os.geteuid()
        self._layout = CachedLayout(layout.Host(self.uid, tuple(mask), tuple(expose)))
        self._limit_processes = limit_processes
        self._filter = data / "seccomp"
        write_atomic(self._filter, seccomp_filter())

    def launch(self, spec: SeatSpec, environment: Mapping[str, str], joins: Sequence[Path]) -> int:
        folder = spec.folder.path
        given = {"HOME": layout.WORK, "PWD": layout.WORK, **environment}
        given["COMPUTE_CHECKPOINT_DIR"] = layout.CHECKPOINT
        processes = spec.pids if self._limit_processes else 0
        environment_path = folder / "environment"
        environment_path.write_bytes(shim.environment_file(given, processes))
        environment_path.chmod(0o444)
        devices = [path for gpu in spec.gpus for path in gpu.nodes]
        mounts = self._layout.mounts(spec, environment_path, devices)
        options = bubblewrap.arguments(mounts, root=self._root, hostname=f"seat-{spec.key.rank}")
        (folder / "arguments").write_bytes(b"\0".join([*options, b""]))
        command = [self._bwrap, "--args", str(bubblewrap.ARGUMENTS_FD), "--"]
        if self._setpriv:
            command += bubblewrap.drop(self._setpriv)
        command += ["/bin/sh", "-c", shim.ENTER, "sh", layout.WORK, layout.ENVIRONMENT]
        return shim.spawn(
            folder,
            [*command, *spec.command],
            joins=joins,
            open_files={
                bubblewrap.ARGUMENTS_FD: (folder / "arguments", os.O_RDONLY),
                bubblewrap.SECCOMP_FD: (self._filter, os.O_RDONLY),
                bubblewrap.STATUS_FD: (folder / "status", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            },
        )

    def failed_start(self, spec: SeatSpec, code: int) -> str:
        folder = spec.folder.path
        if code == 125 and (failed := read_text(folder / "failed").strip()):
            return failed
        if code == 1 and '"exit-code"' not in read_text(folder / "status"):
            return f"the sandbox could not be made: {read_text(folder / 'log')[-300:].strip()}"
        return ""

    def close(self) -> None:
        """Nothing is held."""


def seccomp_filter() -> bytes:
    """The seccomp filter of this machine, or one that allows all, said aloud."""
    program = seccomp.program()
    if program is None:
        log.warning("no seccomp filter is known for this machine: seats run without")
        return bytes([6, 0, 0, 0, 0, 0, 0xFF, 0x7F])  # return ALLOW
    return program


def main_process(shim_pid: int, depth: int) -> int | None:
    """Pid of the job's main process: `depth` first children below the shim; None if not there."""
    pid = shim_pid
    for _ in range(depth):
        below = proc.children(pid)
        if not below:
            return None
        pid = below[0]
    return pid
