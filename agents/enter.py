"""Enter a sandbox of Linux namespaces and become a command: `python -IS enter.py PLAN COMMAND...`

A program of its own that imports nothing but the standard library. PLAN is a JSON file
(`agents/namespaces.py` writes it). Three processes: this one waits outside, the first inside is
init (pid 1: with it all others end), the second is the command. Exit code: the command's, 128 and
its signal, or 125 with the reason in the file `failed` beside the plan.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import struct
import sys
from fcntl import ioctl
from pathlib import Path
from typing import Any

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_SLAVE = 4096, 16384, 1 << 19
MNT_DETACH, AT_RECURSIVE, AT_FDCWD = 2, 0x8000, -100
RDONLY, NOSUID, NODEV = 1, 2, 4  # mount_setattr(2)
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 24, 38, 22
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR = 442
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [word.encode() or None for word in (source, target, kind)]
    result = _libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount {kind or source} on {target}")


def _set(target: str, attributes: int, *, recursive: bool = False) -> None:
    packed = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    result = _libc.syscall(MOUNT_SETATTR, AT_FDCWD, target.encode(), flags, packed, len(packed))
    _check(result, f"mount_setattr {target}")


def _prctl(option: int, *values: Any) -> None:
    words = [ctypes.c_ulong(v) if isinstance(v, int) else v for v in values]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    _check(_libc.prctl(option, *words), f"prctl {option}")


def _isolate(uid: int, gid: int, *, root: bool) -> None:
    """New namespaces; without root, a user namespace with only oneself in it first."""
    kinds = NEW_NS | NEW_UTS | NEW_IPC | NEW_PID | NEW_NET | NEW_CGROUP
    _check(_libc.unshare(kinds if root else kinds | NEW_USER), "unshare")
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _build(root: str, mounts: list[dict[str, Any]]) -> None:
    """The seat's file system, and nothing else, as /."""
    _mount("", "/", "", MS_REC | MS_SLAVE)
    _mount("seat", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for mount in mounts:
        _make(root, mount)
    for mount in mounts:  # read-only only now: mounts on top needed their folders made
        if mount["kind"] == "dev" or (mount["kind"] == "tmpfs" and not mount["mode"] & 0o002):
            _set(root + mount["target"], RDONLY)
    _set(root, RDONLY)
    os.chdir(root)
    number = PIVOT_ROOT[platform.machine()]
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def _make(root: str, mount: dict[str, Any]) -> None:
    source, target = mount["source"], root + mount["target"]
    match mount["kind"]:
        case "read" | "write" | "hide_file":
            source = source or "/dev/null"
            _place(source, target)
            _mount(source, target, "", MS_BIND | MS_REC)
            only = 0 if mount["kind"] == "write" else RDONLY
            device = 0 if mount["kind"] == "hide_file" else NODEV
            _set(target, NOSUID | device | only, recursive=True)
        case "device":
            if Path(source).exists():
                _place(source, target)
                _mount(source, target, "", MS_BIND)
        case "tmpfs":
            Path(target).mkdir(parents=True, exist_ok=True)
            size = f",size={mount['size']}" if mount["size"] else ""
            _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mount['mode']:o}{size}")
        case "folder":
            Path(target).mkdir(mode=0o755, parents=True, exist_ok=True)
        case "proc":
            Path(target).mkdir(exist_ok=True)
            _mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            for name in ("sys", "sysrq-trigger", "irq", "bus"):
                if Path(f"{target}/{name}").exists():
                    _mount(f"{target}/{name}", f"{target}/{name}", "", MS_BIND)
                    _set(f"{target}/{name}", RDONLY)
        case "dev":
            _make_dev(target)
        case "link":
            Path(target).symlink_to(source)


def _place(source: str, target: str) -> None:
    """Somewhere to mount the source on."""
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    elif not Path(target).exists():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()


def _make_dev(target: str) -> None:
    Path(target).mkdir(exist_ok=True)
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755")
    for name in DEVICES:
        Path(f"{target}/{name}").touch()
        _mount(f"/dev/{name}", f"{target}/{name}", "", MS_BIND)
    for name, to in DEVICE_LINKS.items():
        Path(f"{target}/{name}").symlink_to(to)
    Path(f"{target}/pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=620"
    _mount("devpts", f"{target}/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    Path(f"{target}/shm").mkdir()


def _loopback() -> None:
    """Bring 127.0.0.1 up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS


def _drop(user: int) -> None:
    """Give every right up for good."""
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_DROP, *[ctypes.c_ulong(v) for v in (capability, 0, 0, 0)]):
            break  # there are no more
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _filter(program: bytes) -> None:
    """Install a seccomp filter (struct sock_fprog)."""
    lines = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(lines)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, address))
    _prctl(PR_SET_SECCOMP, 2, fprog)


def _become(plan: dict[str, Any], program: bytes, command: list[str], failed: int) -> None:
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # Python changed them
        os.setsid()
        _drop(plan["user"])
        _filter(program)
        os.execv(command[0], command)  # noqa: S606 - its purpose
    except OSError as error:
        _fail(failed, f"{command[0]}: {error}")


def _fail(failed: int, why: str) -> None:
    os.write(failed, f"{why}\n".encode())
    os._exit(125)


def _wait_for(child: int) -> int:
    """The exit code of a child, reaping whatever else ends meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _init(plan: dict[str, Any], program: bytes, command: list[str], failed: int) -> int:
    """Pid 1: builds the world, starts the command, reaps, ends with it."""
    try:
        _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        socket.sethostname(plan["hostname"])
        _loopback()
        _build(plan["root"], plan["mounts"])
    except OSError as error:
        _fail(failed, f"the sandbox could not be made: {error}")
    child = os.fork()
    if child == 0:
        _become(plan, program, command, failed)
    return _wait_for(child)


def main() -> int:
    """Run the command of argv under the plan; its exit code."""
    path = Path(sys.argv[1])
    plan, command = json.loads(path.read_text()), sys.argv[2:]
    program = Path(plan["filter"]).read_bytes()
    failed = os.open(path.parent / "failed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _isolate(os.getuid(), os.getgid(), root=os.geteuid() == 0)
    except OSError as error:
        _fail(failed, f"no new namespaces: {error}")
    child = os.fork()
    if child == 0:
        os._exit(_init(plan, program, command, failed))
    return _wait_for(child)


if __name__ == "__main__":
    os._exit(main())
