"""State files: whole or not there, also after a crash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

_T = TypeVar("_T")


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path`: written aside, fsync, renamed. Readers see the old or the new."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.replace(path)


def read_struct(path: Path, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    """The value kept at `path`, or None where there is none that can be read."""
    try:
        return decoder.decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def read_text(path: Path) -> str:
    """The text at `path`; empty where there is none."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
