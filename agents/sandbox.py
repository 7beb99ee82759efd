"""Seats as processes of this machine, in a sandbox where the machine allows one."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents import proc, shim
from agents.failpoint import failpoint
from agents.files import read_text
from agents.launch import Launcher, main_process
from agents.limits import Group, Groups, kill_quietly
from agents.logs import LogFile
from agents.runner import Found, OnExit, Result, SeatSpec, StartFailed, Usage
from agents.wire import SeatKey

log = logging.getLogger(__name__)

_TICK_S = 0.25
_SEATS_OWN = ("/job/", "/checkpoint/", "/tmp/")  # noqa: S108 - a seat's own folders


@dataclass
class _Running:
    """A seat with a live shim, or one that ended and is not released."""

    spec: SeatSpec
    pid: int
    group: Group
    log: LogFile
    handle: int = -1
    cpus: set[int] = field(default_factory=set)
    result: Result | None = None


class SandboxRunner:
    """Runs seats under a launcher; one thread watches them all by pidfd (pidfd_open(2))."""

    def __init__(self, launcher: Launcher, groups: Groups, on_exit: OnExit, path: str) -> None:
        self.name = "sandbox" if launcher.isolated else "process"
        self._launcher = launcher
        self._groups = groups
        self._on_exit = on_exit
        self._path = path
        self._seats: dict[SeatKey, _Running] = {}
        self._handles: dict[int, SeatKey] = {}
        self._lock = threading.Lock()
        self._cpus = _CpuShares()
        self._epoll = select.epoll()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._wake_read, select.EPOLLIN)
        self._watcher = threading.Thread(target=self._watch, name="seats", daemon=True)
        self._watcher.start()

    def prepare(self, spec: SeatSpec) -> None:
        """Nothing takes long here."""

    def start(self, spec: SeatSpec) -> None:
        _check_command(spec, self._path)
        folder = spec.folder
        for path in (folder.work, folder.checkpoint):
            path.mkdir(mode=0o700, exist_ok=True)
        folder.log.touch(mode=0o600)
        if self._launcher.uid != os.geteuid():
            for path in (folder.work, folder.checkpoint, folder.log):
                os.chown(path, self._launcher.uid, self._launcher.uid, follow_symlinks=False)
        group = self._make_group(spec)
        cpus = set() if self._groups.has("cpu") else self._cpus.take(spec.cpu_milli)
        environment = {"PATH": self._path, "LANG": "C.UTF-8", **spec.environment}
        try:
            with _affinity(cpus):
                pid = self._launcher.launch(spec, environment, group.joins())
        except (OSError, StartFailed) as error:
            group.remove()
            self._cpus.give_back(cpus)
            raise StartFailed(str(error)) from error
        failpoint("agent.launched")
        self._follow(spec, pid, group, cpus)

    def adopt(self, spec: SeatSpec) -> Found:
        found, pid = shim.find(spec.folder.path)
        group = self._kept_group(spec)
        if found is Found.RUNNING:
            self._follow(spec, pid, group, set())
            return found
        if found is Found.LOST and (identity := _identity(spec)):
            self._sweep(identity[0], group)
        running = _Running(spec, 0, group, LogFile(spec.folder.log, spec.log_bytes))
        if found is Found.ENDED:
            self._finish(running)
        with self._lock:
            self._seats[spec.key] = running
        return found

    def signal(self, key: SeatKey, number: int, *, only_if_caught: bool = False) -> bool:
        seat = self._seats[key]
        main = main_process(seat.pid, self._launcher.depth)
        if main is None or (only_if_caught and not proc.catches(main, number)):
            return False
        try:
            handle = os.pidfd_open(main)
        except ProcessLookupError:
            return False
        try:  # the pid may have been reused before it was opened: look again
            if main_process(seat.pid, self._launcher.depth) != main:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def kill(self, key: SeatKey) -> None:
        seat = self._seats[key]
        if seat.pid and seat.result is None:
            kill_seat(seat.pid, seat.group, isolated=self._launcher.isolated)

    def result(self, key: SeatKey) -> Result:
        result = self._seats[key].result
        if result is None:
            raise LookupError(f"{key} has not ended")
        return result

    def usage(self, key: SeatKey) -> Usage | None:
        seat = self._seats.get(key)
        if seat is None or seat.result is not None:
            return None
        return Usage(*proc.usage(seat.group.members() or proc.descendants(seat.pid)))

    def release(self, key: SeatKey) -> None:
        with self._lock:
            seat = self._seats.pop(key, None)
        if seat is not None:
            self._cpus.give_back(seat.cpus)
            seat.group.remove()

    def close(self) -> None:
        os.write(self._wake_write, b"x")
        self._watcher.join()
        self._epoll.close()
        for handle in [*self._handles, self._wake_read, self._wake_write]:
            os.close(handle)
        self._launcher.close()

    def _make_group(self, spec: SeatSpec) -> Group:
        """Control groups of a seat; written down first, so that a new agent finds them."""
        name = spec.folder.path.name
        roots = dict.fromkeys(root / name for root in self._groups.roots.values())
        (spec.folder.path / "groups").write_text("".join(f"{root}\n" for root in roots))
        try:
            return self._groups.create(name, spec.memory_bytes, spec.cpu_milli, spec.pids)
        except OSError as error:
            self._kept_group(spec).remove()
            raise StartFailed(f"its limits could not be set: {error}") from error

    def _kept_group(self, spec: SeatSpec) -> Group:
        lines = read_text(spec.folder.path / "groups").splitlines()
        return Group(tuple(Path(line) for line in lines))

    def _follow(self, spec: SeatSpec, pid: int, group: Group, cpus: set[int]) -> None:
        """Watch a shim from now on. A child that is dead already still has its pid: not reaped."""
        seat = _Running(spec, pid, group, LogFile(spec.folder.log, spec.log_bytes), cpus=cpus)
        with self._lock:
            self._seats[spec.key] = seat
        try:
            seat.handle = os.pidfd_open(pid)
        except ProcessLookupError:  # adopted, and gone since it was looked at
            self._ended(seat)
            return
        self._handles[seat.handle] = spec.key
        self._epoll.register(seat.handle, select.EPOLLIN)

    def _watch(self) -> None:
        """Until closed: notice ends at once, and look after logs and memory now and then."""
        ticked = time.monotonic()
        while True:
            for handle, _ in self._epoll.poll(_TICK_S):
                if handle == self._wake_read:
                    return
                self._epoll.unregister(handle)
                seat = self._seats[self._handles.pop(handle)]
                self._reap(handle)
                self._ended(seat)
            if time.monotonic() - ticked >= _TICK_S:
                with self._lock:
                    running = [seat for seat in self._seats.values() if seat.result is None]
                for seat in running:
                    self._look_after(seat)
                ticked = time.monotonic()

    def _reap(self, handle: int) -> None:
        try:
            os.waitid(os.P_PIDFD, handle, os.WEXITED)
        except ChildProcessError:
            pass  # it was adopted: somebody else's child
        finally:
            os.close(handle)

    def _ended(self, seat: _Running) -> None:
        try:
            self._sweep(seat.pid, seat.group)
            self._finish(seat)
        except Exception:  # the watching thread must live, whatever one seat left behind
            log.exception("the end of %s could not be looked at", seat.spec.key)
            seat.result = Result()
        failpoint("agent.exit_seen")
        self._on_exit(seat.spec.key)

    def _sweep(self, pid: int, group: Group) -> None:
        """End what a seat left running."""
        if group.folders:
            group.kill()
        elif not self._launcher.isolated:
            _kill_session(pid)

    def _finish(self, seat: _Running) -> None:
        seat.log.finish()
        code = shim.exit_code(seat.spec.folder.path)
        short = (seat.spec.folder.path / "memory").exists() or (
            seat.group.out_of_memory_kills() > 0
        )
        failed = self._launcher.failed_start(seat.spec, code) if code else ""
        out_of_memory = short and code != 0
        seat.result = Result(code, out_of_memory, "" if out_of_memory else failed)

    def _look_after(self, seat: _Running) -> None:
        """Cap the log; without a control group also watch the memory."""
        seat.log.enforce()
        limit = seat.spec.memory_bytes
        if limit and not self._groups.has("memory") and seat.pid:
            pids = proc.descendants(seat.pid)
            if proc.usage(pids)[1] > limit:
                (seat.spec.folder.path / "memory").touch()
                self.kill(seat.spec.key)


def kill_seat(pid: int, group: Group, *, isolated: bool) -> None:
    """End every process under a shim, but not the shim: it still has to write the exit code."""
    for child in proc.children(pid):
        kill_quietly(child)
    if group.folders:
        group.kill()
    elif not isolated:
        for below in proc.descendants(pid):
            kill_quietly(below)
        _kill_session(pid)


def _kill_session(pid: int) -> None:
    """Kill what is left of a shim's session, those that fork meanwhile too."""
    for _ in range(100):
        members = proc.session_members(pid)
        if not members:
            return
        for member in members:
            kill_quietly(member)
        time.sleep(0.002)


def _identity(spec: SeatSpec) -> tuple[int, int] | None:
    return proc.stat_line(read_text(spec.folder.path / "pid"))


def _check_command(spec: SeatSpec, path: str) -> None:
    """Refuse a program that is plainly not there; what only the sandbox knows it will say."""
    program = spec.command[0] if spec.command else ""
    if not program:
        raise StartFailed("command: it is empty")
    if "/" in program:
        hosts = program.startswith("/") and not program.startswith(_SEATS_OWN)
        if hosts and not Path(program).exists():
            raise StartFailed(f"command: there is no program {program} on this node")
        return
    searched = spec.environment.get("PATH", path)
    if shutil.which(program, path=searched) is None:
        raise StartFailed(f"command: no program {program!r} on this node (PATH={searched})")


class _affinity:  # noqa: N801 - read as a statement
    """Within it, what this thread starts may run on these CPUs only; empty: on all."""

    def __init__(self, cpus: set[int]) -> None:
        self._cpus = cpus

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0)
        if self._cpus:
            os.sched_setaffinity(0, self._cpus)

    def __exit__(self, *_: object) -> None:
        if self._cpus:
            os.sched_setaffinity(0, self._before)


class _CpuShares:
    """Whole CPUs handed to seats, the least used first, where no quota can be set."""

    def __init__(self) -> None:
        self._users: Mapping[int, int] = dict.fromkeys(sorted(os.sched_getaffinity(0)), 0)
        self._lock = threading.Lock()

    def take(self, cpu_milli: int) -> set[int]:
        if not cpu_milli:
            return set()
        with self._lock:
            by_use = sorted(self._users, key=lambda cpu: self._users[cpu])
            chosen = set(by_use[: -(-cpu_milli // 1000)])
            self._users = {cpu: n + (cpu in chosen) for cpu, n in self._users.items()}
        return chosen

    def give_back(self, cpus: set[int]) -> None:
        with self._lock:
            self._users = {cpu: n - (cpu in cpus) for cpu, n in self._users.items()}
