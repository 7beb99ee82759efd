"""Checkpoints: a directory as a manifest of chunks, and back (contract: docs/checkpoints.md)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from agents.chunks import CHUNK_BYTES, ObjectFolder, ObjectMissing
from agents.cleanup import remove_tree

MAX_FILES = 100_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class CheckpointBroken(Exception):
    """A checkpoint that cannot be restored; the message says which part and why."""


class NotQuiet(Exception):
    """The directory changed while it was read: what was read may be torn."""


class TooManyFiles(Exception):
    """More files than a checkpoint may hold."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file: path below the directory, permission bits, bytes, chunk digests in order."""

    path: str
    mode: int
    size: int
    chunks: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True):
    """A checkpoint: its files, by path, and its folders. Its name is its SHA-256."""

    version: int
    chunk_bytes: int
    files: tuple[FileEntry, ...]
    folders: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True)
class Identity:
    """What changes whenever a file's content does. `changed_ns` is ctime: no program can set it."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    mode: int


Signature = dict[str, Identity]
"""Every regular file and folder below a directory, by its path."""


@dataclass(frozen=True)
class Publication:
    """A published directory: the manifest's digest, number of files, bytes, bytes written."""

    digest: str
    files: int
    bytes: int
    new_bytes: int


@dataclass
class Memory:
    """What was published last of one directory, so that unchanged files are not read again."""

    identities: Signature = field(default_factory=dict)
    entries: dict[str, FileEntry] = field(default_factory=dict)


def look(directory: Path) -> Signature:
    """The directory's signature: regular files and folders; links and devices are left out."""
    found: Signature = {}
    for prefix, name, folder in _walk(directory):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            found[prefix + name] = _identity(status)
        if len(found) > MAX_FILES:
            raise TooManyFiles(f"more than {MAX_FILES} files")
    return found


def publish(directory: Path, objects: ObjectFolder, memory: Memory) -> Publication | None:
    """Keep the directory in the object folder; None if there is no file in it.

    Chunks first, the manifest last. NotQuiet if anything changed meanwhile: then nothing was
    published, and it may be tried again after a quiet moment.
    """
    before = look(directory)
    entries: dict[str, FileEntry] = {}
    new_bytes = 0
    for prefix, name, folder in _walk(directory):
        path = prefix + name
        identity = before.get(path)
        if identity is None or not stat.S_ISREG(identity.mode):
            continue
        known = memory.entries.get(path)
        if (
            known is not None
            and memory.identities.get(path) == identity
            and all(
                objects.has(digest, size)
                for digest, size in zip(known.chunks, _sizes(known.size), strict=True)
            )
        ):
            entries[path] = known
            continue
        entries[path], written = _read(path, name, folder, identity, objects)
        new_bytes += written
    if look(directory) != before:
        raise NotQuiet("files changed while they were read")
    if not entries:
        return None
    manifest = Manifest(
        version=1,
        chunk_bytes=CHUNK_BYTES,
        files=tuple(entries[path] for path in sorted(entries)),
        folders=tuple(sorted(path for path in before if stat.S_ISDIR(before[path].mode))),
    )
    digest, written = objects.put("manifests", msgspec.json.encode(manifest))
    memory.identities, memory.entries = before, entries
    size = sum(entry.size for entry in entries.values())
    return Publication(digest, len(entries), size, new_bytes + written)


def restore(digest: str, directory: Path, objects: ObjectFolder, owner: int | None = None) -> None:
    """Fill `directory` from a manifest: all of it, verified, or CheckpointBroken and no change.

    Written aside and renamed. `owner` becomes the owner of everything in it.
    """
    aside = directory.with_name(f"{directory.name}.restoring")
    remove_tree(aside)
    try:
        manifest = _manifest(digest, objects)
        aside.mkdir(mode=0o700)
        for path in manifest.folders:
            _place(aside, path).mkdir(mode=0o700, exist_ok=True)
        for entry in manifest.files:
            _write(_place(aside, entry.path), entry, manifest.chunk_bytes, objects)
        if owner is not None:
            _give(aside, owner)
        remove_tree(directory)
        aside.rename(directory)
    except ObjectMissing as error:
        raise CheckpointBroken(f"checkpoint {digest[:12]}: {error}") from error
    except OSError as error:
        raise CheckpointBroken(f"checkpoint {digest[:12]}: {error}") from error
    finally:
        remove_tree(aside)


def _manifest(digest: str, objects: ObjectFolder) -> Manifest:
    """The manifest, verified and made sense of."""
    data = objects.get("manifests", digest)
    try:
        manifest = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ObjectMissing(f"its manifest cannot be read: {error}") from error
    if manifest.version != 1 or not 0 < manifest.chunk_bytes <= 2**30:
        raise ObjectMissing(f"its manifest has version {manifest.version}; this agent knows 1")
    if len(manifest.files) + len(manifest.folders) > MAX_FILES:
        raise ObjectMissing("its manifest lists too many files")
    paths = [entry.path for entry in manifest.files] + list(manifest.folders)
    if len(set(paths)) != len(paths):
        raise ObjectMissing("its manifest names a path twice")
    return manifest


def _place(root: Path, path: str) -> Path:
    """Where a path of a manifest goes; its parents are made. Refuses ways out of `root`."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ObjectMissing(f"its manifest has a path that leads elsewhere: {path[:200]!r}")
    place = root.joinpath(*parts)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def _write(place: Path, entry: FileEntry, chunk_bytes: int, objects: ObjectFolder) -> None:
    """One file, made anew: whatever is there already (a link?) makes it fail."""
    if len(entry.chunks) != len(list(_sizes(entry.size, chunk_bytes))):
        raise ObjectMissing(f"{entry.path}: the number of chunks does not fit its size")
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for digest, size in zip(entry.chunks, _sizes(entry.size, chunk_bytes), strict=True):
            data = objects.get("chunks", digest)
            if len(data) != size:
                raise ObjectMissing(f"{entry.path}: chunk {digest} has the wrong size")
            file.write(data)
        os.fchmod(file.fileno(), entry.mode & 0o777)


def _give(root: Path, owner: int) -> None:
    for folder, _, files in os.walk(root):
        os.chown(folder, owner, owner)
        for name in files:
            os.chown(Path(folder, name), owner, owner, follow_symlinks=False)


def _walk(directory: Path) -> Iterator[tuple[str, str, int]]:
    """Prefix (empty or ending in /), name and folder descriptor of every entry; no link followed.

    A folder that vanishes or is swapped for a link meanwhile is passed over.
    """
    for folder, folders, files, descriptor in os.fwalk(directory, follow_symlinks=False):
        relative = os.path.relpath(folder, directory)
        prefix = "" if relative == "." else f"{relative}/"
        folders.sort()
        for name in sorted(files + folders):
            try:
                name.encode()
            except UnicodeEncodeError:
                continue  # a manifest is JSON: it names files in UTF-8
            try:
                os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError as error:
                raise NotQuiet(f"{prefix}{name} went away") from error
            yield prefix, name, descriptor


def _read(
    path: str, name: str, folder: int, identity: Identity, objects: ObjectFolder
) -> tuple[FileEntry, int]:
    """Keep one file's chunks; NotQuiet if it is not the file that was looked at."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        raise NotQuiet(f"{path}: {error}") from error
    digests, new_bytes = [], 0
    with os.fdopen(descriptor, "rb") as file:
        if _identity(os.fstat(descriptor)) != identity:
            raise NotQuiet(f"{path} changed")
        for size in _sizes(identity.size):
            data = file.read(size)
            if len(data) != size:
                raise NotQuiet(f"{path} became shorter")
            digest, written = objects.put("chunks", data)
            digests.append(digest)
            new_bytes += written
        if _identity(os.fstat(descriptor)) != identity:
            raise NotQuiet(f"{path} changed while it was read")
    mode = stat.S_IMODE(identity.mode) & 0o777
    return FileEntry(path, mode, identity.size, tuple(digests)), new_bytes


def _sizes(size: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[int]:
    """The sizes of a file's chunks: fixed blocks, the last one shorter."""
    for offset in range(0, size, chunk_bytes):
        yield min(chunk_bytes, size - offset)


def _identity(status: os.stat_result) -> Identity:
    return Identity(
        status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode
    )
