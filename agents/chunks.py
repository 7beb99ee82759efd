"""The object folder: chunks and manifests under their SHA-256, written once and never changed.

Layout: chunks/ab/<digest> and manifests/ab/<digest>, `ab` being the digest's first two digits.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path
from typing import Literal

CHUNK_BYTES = 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ObjectMissing(Exception):
    """There is no such object, or what lies there is not what its name says."""


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class ObjectFolder:
    """Content-addressed files; safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, kind: Literal["chunks", "manifests"], data: bytes) -> tuple[str, int]:
        """Keep `data`; its digest, and the bytes newly written (0 if it was there).

        Written aside, fsync, renamed: a name stands for the whole content or for nothing. What
        is there already is marked as used, so that whoever sweeps up sees a young file.
        """
        digest = digest_of(data)
        path = self._path(kind, digest)
        try:
            if path.stat().st_size == len(data):
                os.utime(path)
                return digest, 0
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{digest}.{os.getpid()}.{threading.get_ident()}")
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return digest, len(data)

    def has(self, digest: str, size: int) -> bool:
        """Whether a chunk of this size lies there; its content is checked when it is read."""
        try:
            return self._path("chunks", digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def get(self, kind: Literal["chunks", "manifests"], digest: str) -> bytes:
        """The content, verified; ObjectMissing says what is wrong with it."""
        if not _DIGEST.fullmatch(digest):
            raise ObjectMissing(f"{digest[:80]!r} is not a SHA-256")
        try:
            data = self._path(kind, digest).read_bytes()
        except FileNotFoundError:
            raise ObjectMissing(f"{kind[:-1]} {digest} is missing") from None
        if digest_of(data) != digest:
            raise ObjectMissing(f"{kind[:-1]} {digest} is corrupt")
        return data

    def _path(self, kind: str, digest: str) -> Path:
        return self._root / kind / digest[:2] / digest
