"""Removing what a job left behind, however hostile: no link is followed, no depth is too deep."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove the folder and all in it; nothing to do if it is not there.

    Works on descriptors only, so a path that changes under it leads nowhere else. Folders below
    are moved up before they are emptied: two descriptors are enough for any depth. Raises
    OSError if something cannot be removed.
    """
    try:
        top = _open_folder(os.fspath(path), None)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        path.unlink(missing_ok=True)
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    path.rmdir()


def _empty(top: int) -> None:
    """Remove all entries of an open folder."""
    moved = 0
    while folders := _remove_files(top):
        for name in folders:
            below = _open_folder(name, top)
            try:
                for inner in _remove_files(below):
                    while True:
                        moved += 1
                        aside = f".removing.{moved}"
                        if not _exists(aside, top):
                            break
                    _make_writable(inner, below)  # its ".." changes, which needs write access
                    os.rename(inner, aside, src_dir_fd=below, dst_dir_fd=top)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=top)


def _remove_files(folder: int) -> list[str]:
    """Unlink whatever is no folder; the names of those that are."""
    folders = []
    for name in os.listdir(folder):
        try:
            os.unlink(name, dir_fd=folder)
        except (IsADirectoryError, PermissionError):  # Linux says EISDIR, POSIX EPERM
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                raise
            folders.append(name)
        except FileNotFoundError:
            continue
    return folders


def _exists(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _open_folder(name: str, parent: int | None) -> int:
    """Open a folder for reading, giving its owner the rights to do so if they are missing."""
    _make_writable(name, parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _make_writable(name: str, parent: int | None) -> None:
    """rwx for the owner, without following a link: chmod on the opened inode itself."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(name)
        if mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101 - not a path
    finally:
        os.close(handle)
