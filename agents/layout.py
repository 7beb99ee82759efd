"""What a sandboxed seat sees of the file system: a list of mounts, whoever makes them.

The host's files read-only, /job and /checkpoint its own, /tmp private; secrets masked.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WORK = "/job"
CHECKPOINT = "/checkpoint"
ENVIRONMENT = "/run/environment"
NOBODY = 65534

Kind = Literal["read", "write", "device", "tmpfs", "folder", "proc", "dev", "link", "hide_file"]
_PRIVATE = {"proc", "dev", "run", "tmp", "boot", "lost+found", WORK[1:], CHECKPOINT[1:]}
"""Entries of / that are not taken over from the host."""

_HOME_SECRETS = (
    *(".ssh", ".aws", ".azure", ".boto", ".config", ".docker", ".gnupg", ".kube", ".netrc"),
    *(".git-credentials", ".gitconfig", ".npmrc", ".pgpass", ".pypirc", ".vault-token"),
    *(".bash_history", ".python_history", ".psql_history", ".zsh_history", ".terraform.d"),
    *(".cache/huggingface/token", ".huggingface", ".compute", ".local/share/keyrings"),
)
_SYSTEM_SECRETS = (
    *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers"),
    *("/etc/sudoers.d", "/etc/ssl/private", "/etc/ssh", "/etc/docker", "/etc/kubernetes"),
    *("/etc/krb5.keytab", "/etc/munge", "/var/backups", "/var/spool", "/var/lib/docker"),
    *("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/postgresql", "/var/lib/sss"),
)


@dataclass(frozen=True)
class Mount:
    """One mount of the seat's file system. `mode` and `size` (bytes) are for tmpfs."""

    kind: Kind
    target: str
    source: str = ""
    mode: int = 0o755
    size: int = 0


@dataclass(frozen=True)
class Host:
    """What the agent knows of its host: paths no seat may see, paths every seat may read.

    `uid` is the user that seats run as.
    """

    uid: int
    mask: tuple[Path, ...] = ()
    expose: tuple[Path, ...] = ()


def python_paths() -> tuple[Path, ...]:
    """Where this Python and its libraries live: seats get to use them too."""
    return tuple(dict.fromkeys(Path(path) for path in (sys.base_prefix, sys.prefix)))


def shared(host: Host, tmp_bytes: int) -> list[Mount]:
    """The mounts that all seats have, in order; a later one may lie on an earlier one."""
    mounts = list(_root())
    hidden = {f"/{name}" for name in _PRIVATE}
    mounts.append(Mount("tmpfs", "/tmp", mode=0o1777, size=tmp_bytes))  # noqa: S108 - the seat's own
    mounts.append(Mount("tmpfs", "/run"))
    for path in (*python_paths(), *host.expose):
        mounts += _exposed(path, host.uid, hidden)
    mounts += _masks(host, hidden)
    mounts += [
        Mount("proc", "/proc"),
        Mount("dev", "/dev"),
        Mount("tmpfs", "/dev/shm", mode=0o1777, size=tmp_bytes),  # noqa: S108 - the seat's own
    ]
    return mounts


def private(
    work: Path, checkpoint: Path, environment: Path, devices: Sequence[Path] = ()
) -> list[Mount]:
    """The mounts of one seat, on top of the shared ones."""
    return [
        *(Mount("device", str(path), str(path)) for path in devices),
        Mount("write", WORK, str(work)),
        Mount("write", CHECKPOINT, str(checkpoint)),
        Mount("read", ENVIRONMENT, str(environment)),
    ]


def _root() -> Iterator[Mount]:
    """The entries of the host's root, read-only."""
    with os.scandir("/") as entries:
        for entry in sorted(entries, key=lambda found: found.name):
            if entry.name in _PRIVATE:
                continue
            if entry.is_symlink():
                yield Mount("link", entry.path, str(Path(entry.path).readlink()))
            elif entry.is_dir():
                yield Mount("read", entry.path, entry.path)  # submounts too, read-only as well


def _exposed(path: Path, uid: int, hidden: set[str]) -> Iterator[Mount]:
    """Mounts that make `path` readable where it would not be; `hidden` grows as folders empty."""
    real = Path(os.path.realpath(path))
    if not real.exists() or real == Path("/"):
        return
    if not _under(str(real), hidden):
        closed = _closed_ancestor(real, uid)
        if closed is None:
            return
        hidden.add(closed)
        yield Mount("tmpfs", closed)
    for place in dict.fromkeys((str(real), str(path))):
        if _under(place, hidden):
            for parent in reversed(Path(place).parents):
                if _under(str(parent), hidden) and str(parent) not in hidden:
                    yield Mount("folder", str(parent))
            yield Mount("read", place, str(real))


def _closed_ancestor(path: Path, uid: int) -> str | None:
    """The topmost folder on the way to `path` that the user may not pass; None if it may."""
    for folder in reversed(path.parents):
        status = folder.stat()
        passes = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if folder != Path("/") and not status.st_mode & passes:
            return str(folder)
    return None


def _under(path: str, folders: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _masks(host: Host, hidden: set[str]) -> Iterator[Mount]:
    """Empty folders and files over secrets that would be seen."""
    shown = {os.path.realpath(path) for path in (*python_paths(), *host.expose)}
    homes = {user.pw_dir for user in pwd.getpwall()} | {str(Path.home())}
    secrets = [f"{home}/{name}" for home in sorted(homes - {"/"}) for name in _HOME_SECRETS]
    for secret in dict.fromkeys((*_SYSTEM_SECRETS, *secrets, *map(str, host.mask))):
        real = os.path.realpath(secret)
        if _under(real, hidden) and not _under(real, shown):
            continue
        try:
            status = Path(real).stat()
        except OSError:
            continue
        if _closed(status, host.uid):
            continue
        if stat.S_ISDIR(status.st_mode):
            yield Mount("tmpfs", real, mode=0o555)
        else:
            yield Mount("hide_file", real)


def _closed(status: os.stat_result, uid: int) -> bool:
    """Whether nobody, who owns nothing and is in no group, is kept out by the mode already."""
    return uid == NOBODY != status.st_uid and not status.st_mode & 0o007
