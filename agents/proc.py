"""Processes of this machine as /proc shows them (proc(5))."""

from __future__ import annotations

import os
import time
from pathlib import Path

_START_TIME = 19  # field 22 of /proc/PID/stat, counted after the command's closing bracket


def boot_id() -> str:
    """The kernel's id of this boot: a new one whenever the machine restarts."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def now_us() -> int:
    """Microseconds of a clock that only goes forward and counts time asleep, since boot.

    Every process of the machine reads the same value, so it may be kept in files of one boot.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def start_time(pid: int) -> int | None:
    """When the process started (clock ticks since boot), None if there is none or it is dead.

    With the pid it names a process for good: a reused pid has another start time.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[_START_TIME])


def stat_line(line: str) -> tuple[int, int] | None:
    """Pid and start time of a line of /proc/PID/stat; None if it is not a whole one."""
    head, bracket, rest = line.rpartition(")")
    fields = rest.split()
    pid = head.partition(" ")[0]
    if not bracket or len(fields) <= _START_TIME or not pid.isdigit():
        return None
    return int(pid), int(fields[_START_TIME])


def children(pid: int) -> list[int]:
    """Pids of the direct children; empty if the process is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        if Path(f"/proc/{pid}").exists():  # a kernel without CONFIG_PROC_CHILDREN
            return [child for child, parent in _parents().items() if parent == pid]
        return []


def descendants(pid: int) -> list[int]:
    """All processes under `pid`, parents before children, without itself."""
    found: list[int] = []
    todo = children(pid)
    while todo:
        found += todo
        todo = [below for child in todo for below in children(child)]
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only, and quickly
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(name)] = int(fields[1])
    return parents


def session_members(session: int) -> list[int]:
    """Processes of the session, without its leader; those that left the session are not seen."""
    members = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only, and quickly
        if name.isdigit() and int(name) != session:
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":
                members.append(int(name))
    return members


def catches(pid: int, signal_number: int) -> bool:
    """Whether the process has a handler for the signal (SigCgt in /proc/PID/status)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal_number - 1) & 1)
    return False


def usage(pids: list[int]) -> tuple[int, int]:
    """CPU time so far in microseconds and resident bytes now, summed over the processes."""
    ticks, pages = 0, 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
        pages += int(fields[21])
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")
