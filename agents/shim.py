"""The shim: a few lines of shell that outlive the agent and write down how a seat ended.

It runs as leader of its own session, in the seat's folder, with a clean environment, and holds
the seat's lock as long as it lives. It writes `pid` (its own line of /proc/PID/stat: pid and
start time) before the job is begun, and `exit` after the job ended. One small write each: a
reader sees the whole line or none.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agents import proc
from agents.files import read_text
from agents.runner import Found, StartFailed

LOCK_FD, LOG_FD = 4, 3
_SCRIPT = """
cd "$1" || exit 125
read -r stat </proc/self/stat && echo "$stat" >pid || exit 125
work=$2 joins=$3; shift 3
(
  exec 4>&- >&3 2>&3 3>&-
  IFS=:
  for join in $joins; do
    echo 0 >"$join" || { echo "cannot join the control group $join" >failed; exit 125; }
  done
  unset IFS
  if [ -n "$work" ]; then
    environment=$PWD/environment
    cd "$work" && . "$environment" || exit 125
  fi
  exec "$@"
)
echo $? >exit
"""
ENTER = 'cd "$1" && . "$2" && shift 2 && exec "$@"'
"""Shell text that takes over a folder and an environment file, then becomes the command."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELLS_OWN = {"OPTIND", "PPID", "UID", "EUID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "GROUPS"}


def environment_file(environment: Mapping[str, str], processes: int = 0) -> bytes:
    """Shell text that makes the environment exactly this; StartFailed for names it cannot set.

    The job's variables reach nothing that runs before the job (LD_PRELOAD and the like).
    `processes` above 0 also limits the processes of the user inside the sandbox.
    """
    lines = ["unset OLDPWD SHLVL"]
    if processes:  # bash says -u, dash says -p
        lines.append(f"ulimit -u {processes} 2>/dev/null || ulimit -p {processes}")
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name) or name in _SHELLS_OWN:
            raise StartFailed(f"env: a seat without an image cannot be given a variable {name!r}")
        lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def spawn(
    folder: Path,
    command: Sequence[str],
    *,
    joins: Iterable[Path] = (),
    work: str = "",
    open_files: Mapping[int, tuple[Path, int]] | None = None,
) -> int:
    """Start the shim over `command`; its pid, which is also its session.

    `joins` are control group files to write 0 to. With `work` the command runs there, in the
    environment of the file `environment`. `open_files` are opened under these descriptors.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    high = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, 64)  # out of the way of what is opened below
    os.close(lock)
    try:
        fcntl.flock(high, fcntl.LOCK_EX | fcntl.LOCK_NB)
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, LOG_FD, str(folder / "log"), os.O_WRONLY | os.O_APPEND, 0),
            (os.POSIX_SPAWN_DUP2, high, LOCK_FD),
        ]
        for number, (path, flags) in (open_files or {}).items():
            actions.append((os.POSIX_SPAWN_OPEN, number, str(path), flags, 0o600))
        words = ["sh", "-c", _SCRIPT, "seat", str(folder), work, ":".join(map(str, joins))]
        return os.posix_spawn(
            "/bin/sh",
            [*words, *command],
            {"PATH": os.defpath},
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT],
        )
    except OSError as error:
        raise StartFailed(f"the seat could not be started: {error}") from error
    finally:
        os.close(high)


def find(folder: Path, wait_s: float = 2.0) -> tuple[Found, int]:
    """What became of the shim of a seat, and its pid where it runs (else 0).

    A pid whose start time is not the recorded one belongs to somebody else: the seat is lost.
    """
    deadline = time.monotonic() + wait_s
    while True:
        held = _lock_held(folder / "lock")
        identity = proc.stat_line(read_text(folder / "pid"))
        if exit_code(folder) is not None:
            return Found.ENDED, 0
        if identity is not None:
            pid, started = identity
            if proc.start_time(pid) == started and held:
                return Found.RUNNING, pid
            return (Found.ENDED if exit_code(folder) is not None else Found.LOST), 0
        if not held:
            return Found.NEVER_STARTED, 0
        if time.monotonic() > deadline:  # it holds the lock but never came to write its pid
            return Found.LOST, 0
        time.sleep(0.005)


def exit_code(folder: Path) -> int | None:
    """The recorded exit code; None while there is none."""
    text = read_text(folder / "exit")
    return int(text) if text.endswith("\n") and text.strip().isdigit() else None


def _lock_held(path: Path) -> bool:
    """Whether a process (the shim) holds the seat's lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two may look at once
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
