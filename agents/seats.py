"""What the agent keeps on disk of each seat, so that a new agent can go on where one died.

A seat's folder holds: `seat.json` (the order, written before anything is started), `pid` and
`exit` (written by the shim), `stop.json` (why the agent signalled it, written before the signal),
`ended.json` (the verdict), `published.json` (its newest checkpoint), `reported` (the cell
answered), `log`, and the folders `work` and `checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agents.cleanup import remove_tree
from agents.failpoint import failpoint
from agents.files import read_struct, write_atomic
from agents.wire import CheckpointSaved, Ended, Order, SeatKey


class SeatRecord(msgspec.Struct, frozen=True):
    """The order as it came, and under what it was started. `created_us`: time since boot."""

    order: Order
    node: str
    boot: str
    runner: str
    created_us: int


class StopRecord(msgspec.Struct, frozen=True):
    """Why the agent signalled the seat, and whether it was (or must be) killed."""

    why: str
    killed: bool = False


class Published(msgspec.Struct, frozen=True):
    """The newest checkpoint of the seat, and whether the cell answered the fact."""

    fact: CheckpointSaved
    reported: bool = False


_record = msgspec.json.Decoder(SeatRecord)
_stop = msgspec.json.Decoder(StopRecord)
_ended = msgspec.json.Decoder(Ended)
_published = msgspec.json.Decoder(Published)


class SeatFolder:
    """The files of one seat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.checkpoint = path / "checkpoint"
        self.log = path / "log"

    def read_record(self) -> SeatRecord | None:
        return read_struct(self.path / "seat.json", _record)

    def write_record(self, record: SeatRecord) -> None:
        self._write("seat.json", record)

    def read_stop(self) -> StopRecord | None:
        return read_struct(self.path / "stop.json", _stop)

    def write_stop(self, record: StopRecord) -> None:
        self._write("stop.json", record)

    def withdraw_stop(self) -> None:
        """The signal was not sent after all."""
        (self.path / "stop.json").unlink(missing_ok=True)

    def read_ended(self) -> Ended | None:
        return read_struct(self.path / "ended.json", _ended)

    def write_ended(self, fact: Ended) -> None:
        self._write("ended.json", fact)
        failpoint("agent.end_kept")

    def read_published(self) -> Published | None:
        return read_struct(self.path / "published.json", _published)

    def write_published(self, published: Published) -> None:
        self._write("published.json", published)

    @property
    def reported(self) -> bool:
        return (self.path / "reported").exists()

    def mark_reported(self) -> None:
        (self.path / "reported").touch()  # no fsync: lost in a crash, the verdict is said twice

    def remove_work(self) -> None:
        """Remove what the job could write; the log and the verdict stay."""
        remove_tree(self.work)
        remove_tree(self.checkpoint)

    def remove(self) -> None:
        """Remove every trace. The record goes last, so that a crash in between is seen."""
        self.remove_work()
        failpoint("agent.forgetting")
        remove_tree(self.path)

    def _write(self, name: str, value: msgspec.Struct) -> None:
        write_atomic(self.path / name, msgspec.json.encode(value))


class SeatStore:
    """All seats of this agent, one folder each."""

    def __init__(self, data: Path) -> None:
        self._seats = data / "seats"
        self._seats.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, key: SeatKey) -> SeatFolder:
        """The folder of a seat, there or not; the key must be safe."""
        if not key.safe:
            raise ValueError(f"not a seat: {key}")
        return SeatFolder(self._seats / f"{key.allocation}.{key.rank}")

    def create(self, key: SeatKey, record: SeatRecord) -> SeatFolder:
        """A new folder with its record: from here on the seat is known, whatever happens."""
        folder = self.folder(key)
        folder.path.mkdir(mode=0o700)
        failpoint("agent.seat_made")
        folder.write_record(record)
        failpoint("agent.seat_kept")
        return folder

    def all(self) -> Iterator[tuple[SeatFolder, SeatRecord | None]]:
        """Every folder with its record; None where the record was never written."""
        for name in sorted(os.listdir(self._seats)):  # noqa: PTH208 - names only
            folder = SeatFolder(self._seats / name)
            yield folder, folder.read_record()
