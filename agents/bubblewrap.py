"""A seat's layout as arguments of bubblewrap (https://github.com/containers/bubblewrap)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.layout import NOBODY, Mount

STATUS_FD = 8
SECCOMP_FD = 7
ARGUMENTS_FD = 6


def arguments(mounts: Sequence[Mount], *, root: bool, hostname: str) -> list[bytes]:
    """Options for --args: namespaces, mounts, no capabilities.

    As root no user namespace is made: bubblewrap mounts with the agent's rights and the seat
    then becomes nobody (see `drop`). Otherwise the seat keeps the agent's user.
    """
    words = ["--die-with-parent", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    words += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", hostname]
    if not root:
        words += ["--unshare-user", "--disable-userns"]
    words += ["--cap-drop", "ALL"]
    if root:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            words += ["--cap-add", capability]
    for mount in mounts:
        words += _mount(mount)
    for mount in mounts:  # read-only only now: mounts on top needed their folders made
        if mount.kind == "tmpfs" and not mount.mode & 0o002:
            words += ["--remount-ro", mount.target]
    words += ["--remount-ro", "/", "--chdir", "/"]  # the seat itself goes to its own folder
    words += ["--json-status-fd", str(STATUS_FD), "--seccomp", str(SECCOMP_FD)]
    return [word.encode() for word in words]


def _mount(mount: Mount) -> list[str]:
    """The options that make one mount."""
    match mount.kind:
        case "read":
            return ["--ro-bind", mount.source, mount.target]
        case "write":
            return ["--bind", mount.source, mount.target]
        case "device":
            return ["--dev-bind-try", mount.source, mount.target]
        case "tmpfs":
            size = ["--size", str(mount.size)] if mount.size else []
            return ["--perms", f"{mount.mode:o}", *size, "--tmpfs", mount.target]
        case "folder":
            return ["--perms", "0755", "--dir", mount.target]
        case "proc" | "dev":
            return [f"--{mount.kind}", mount.target]
        case "link":
            return ["--symlink", mount.source, mount.target]
        case "hide_file":
            return ["--ro-bind", "/dev/null", mount.target]


def drop(setpriv: str) -> list[str]:
    """The command that becomes nobody for good, put before the seat's own (util-linux)."""
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [setpriv, *who, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"]
