"""A seat's log: one file, never larger than its cap."""

from __future__ import annotations

import os
from pathlib import Path

CAPPED = b"\n[log capped]\n"


class LogFile:
    """What a seat wrote to stdout and stderr, byte for byte, up to `cap` bytes.

    Bytes below the cap never change, so they may be shipped while the seat runs. What lies
    beyond is cut off again and again, and a last line says so once the seat has ended.
    """

    def __init__(self, path: Path, cap: int) -> None:
        self._path = path
        self._cap = cap
        self._mark = path.with_name(f"{path.name}.capped")

    def size(self) -> int:
        """Bytes in the file that will stay."""
        try:
            return min(self._path.stat().st_size, self._cap)
        except FileNotFoundError:
            return 0

    def final_size(self) -> int:
        """Bytes in the file once it is finished."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def enforce(self) -> None:
        """Cut off what passed the cap."""
        try:
            if self._path.stat().st_size <= self._cap:
                return
        except FileNotFoundError:
            return
        self._mark.touch()
        os.truncate(self._path, self._cap)

    def append(self, data: bytes) -> bool:
        """Add bytes as far as the cap allows; False once it is reached."""
        with self._path.open("ab") as file:
            room = self._cap - file.tell()
            file.write(data[: max(0, room)])
        if len(data) > room:
            self._mark.touch()
        return len(data) <= room

    def finish(self) -> None:
        """Say at the end that the log was capped, if it was. May be repeated."""
        self.enforce()
        if self._mark.exists():
            os.truncate(self._path, self._cap)
            with self._path.open("ab") as file:
                file.write(CAPPED)
