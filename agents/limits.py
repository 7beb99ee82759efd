"""Limits by control groups (cgroups(7), version 1 or 2), where this user may make them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.files import read_text

log = logging.getLogger(__name__)

CONTROLLERS = ("memory", "cpu", "pids")
SMALLEST_MEMORY = 16 * 2**20  # the sandbox itself needs some
_PERIOD_US = 100_000


@dataclass(frozen=True)
class Group:
    """The control groups of one seat: one folder a controller (version 1) or one for all."""

    folders: tuple[Path, ...]

    def joins(self) -> list[Path]:
        """Files to write 0 to, by the process that joins."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def members(self) -> list[int]:
        """Pids in the group."""
        for folder in self.folders:
            text = read_text(folder / "cgroup.procs")
            if text:
                return [int(line) for line in text.split() if line != "0"]
        return []

    def kill(self, wait_s: float = 2.0) -> None:
        """Kill every member until none is left; those that fork meanwhile too."""
        deadline = time.monotonic() + wait_s
        while (pids := self.members()) and time.monotonic() < deadline:
            for pid in pids:
                kill_quietly(pid)
            time.sleep(0.001)

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel killed for going over the memory limit."""
        for folder in self.folders:
            for name in ("memory.oom_control", "memory.events"):
                for line in read_text(folder / name).splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Remove the groups; one that still has members stays and is said."""
        for folder in self.folders:
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.002)
                else:
                    break
            else:
                log.warning("the control group %s could not be removed", folder)


class Groups:
    """Where seats get their control groups. `roots` maps controllers to folders this agent owns."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self.roots = dict(roots)

    def has(self, controller: str) -> bool:
        return controller in self.roots

    def create(self, name: str, memory_bytes: int, cpu_milli: int, pids: int) -> Group:
        """The groups of a seat, limits set. 0 is no limit. OSError if the kernel refuses."""
        folders = tuple(dict.fromkeys(root / name for root in self.roots.values()))
        for folder in folders:
            folder.mkdir(exist_ok=True)
        group = Group(folders)
        if memory_bytes and "memory" in self.roots:
            self._limit_memory(self.roots["memory"] / name, max(memory_bytes, SMALLEST_MEMORY))
        if cpu_milli and "cpu" in self.roots:
            quota_us = max(1000, cpu_milli * _PERIOD_US // 1000)
            folder = self.roots["cpu"] / name
            if (folder / "cpu.max").exists():
                _write(folder / "cpu.max", f"{quota_us} {_PERIOD_US}")
            else:
                _write(folder / "cpu.cfs_period_us", str(_PERIOD_US))
                _write(folder / "cpu.cfs_quota_us", str(quota_us))
        if pids and "pids" in self.roots:
            _write(self.roots["pids"] / name / "pids.max", str(pids))
        return group

    def _limit_memory(self, folder: Path, limit: int) -> None:
        """Memory and swap together; the kernel kills what goes beyond."""
        if (folder / "memory.max").exists():
            _write(folder / "memory.max", str(limit))
            if (folder / "memory.swap.max").exists():
                _write(folder / "memory.swap.max", "0")
            return
        _write(folder / "memory.limit_in_bytes", str(limit))
        if (folder / "memory.memsw.limit_in_bytes").exists():
            _write(folder / "memory.memsw.limit_in_bytes", str(limit))


def detect(
    name: str, mountinfo: str | None = None, own: str | None = None, root: Path = Path("/")
) -> Groups:
    """The controllers this agent may use below its own group, in a group called `name`.

    Reads /proc/self/mountinfo and /proc/self/cgroup; `root` stands before every path (tests).
    """
    mounts = _mounts(read_text(Path("/proc/self/mountinfo")) if mountinfo is None else mountinfo)
    lines = (read_text(Path("/proc/self/cgroup")) if own is None else own).splitlines()
    roots: dict[str, Path] = {}
    for line in lines:
        _, names, path = line.split(":", 2)
        for controller in names.split(",") if names else [""]:
            if controller not in (*CONTROLLERS, "") or controller not in mounts:
                continue
            mounted = root / mounts[controller].lstrip("/")
            below = mounted / path.lstrip("/")
            parent = below if below.is_dir() else mounted
            folder = parent / name
            usable = (controller,) if controller else _delegated(parent)
            if all(key in roots for key in usable) or not _make(folder):
                continue
            if not controller:
                usable = _enable(folder, usable)
            roots |= {key: folder for key in usable if key not in roots}
    return Groups(roots)


def _mounts(mountinfo: str) -> dict[str, str]:
    """Where each controller is mounted; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        place = left.split(" ")[4]
        if kind == "cgroup2":
            found.setdefault("", place)
        elif kind == "cgroup":
            for option in options.split(","):
                if option in CONTROLLERS:
                    found.setdefault(option, place)
    return found


def _delegated(parent: Path) -> tuple[str, ...]:
    """Controllers of version 2 that groups below `parent` can have, switched on if need be."""
    offered = read_text(parent / "cgroup.controllers").split()
    return _enable(parent, tuple(name for name in offered if name in CONTROLLERS))


def _enable(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Switch controllers on for the groups below; those that are on afterwards."""
    for name in names:
        if name not in read_text(folder / "cgroup.subtree_control").split():
            try:
                _write(folder / "cgroup.subtree_control", f"+{name}")
            except OSError as error:
                log.info("the control group %s does not give %s: %s", folder, name, error)
    on = read_text(folder / "cgroup.subtree_control").split()
    return tuple(name for name in names if name in on)


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def kill_quietly(pid: int) -> None:
    """SIGKILL; nothing to do if it is gone."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
