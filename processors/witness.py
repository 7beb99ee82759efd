"""The witness: follows the log, grows its Merkle tree, signs heads, and sounds the alarm.

The folder is the witness: what it holds is believed, and the database must agree with it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.merkle import Tree, leaf_hash
from infra.heads import Folder, Head, Mark
from infra.outbox import Row, guarded, read_rows
from infra.recorder import Epoch
from infra.tree import BATCH, TILE, Connection, Tile, canonical, newest, write
from processors.alarm import TamperAlarm
from processors.stream import Hint

ROLE = "witness"
log = logging.getLogger(__name__)


class Witness:
    """One leader's working life: it begins by holding the log against the last signed head."""

    def __init__(
        self,
        connection: Connection,
        folder: Folder,
        cell: str,
        epoch: Epoch,
        hint: Hint,
        now: Callable[[], int],
        interval: float = 10.0,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._cell = cell
        self._epoch = epoch
        self._hint = hint
        self._now = now
        self._interval = interval
        self._tiles: list[Tile] = []
        self._last: Head | None = None
        self._name = ""
        self._mark = Mark(0, Tree())
        self._tree, self._tile = Tree(), Tree()
        self._before, self._position, self._leaf = 0, 0, b""
        with self._alarming():
            self._begin()

    def run(self) -> None:
        """Follow and sign until StaleWriter (another leads), Unavailable or TamperAlarm."""
        signed = time.monotonic()
        while True:
            full = self.step() == BATCH
            if time.monotonic() - signed >= self._interval:
                self.sign()
                signed = time.monotonic()
            if not full:
                self._hint.wait(min(1.0, self._interval))

    def step(self) -> int:
        """Take one batch into the tree; returns how many events it held."""
        with self._alarming():
            return self._take(BATCH)

    def sign(self) -> Head | None:
        """Sign and store a head of what the tree holds; None if the last one is of the same."""
        with self._alarming():
            self._still_there()
            if self._tree.size == (self._last.size if self._last else 0):
                return None
            root = self._tree.root().hex()
            head = Head(
                self._cell, self._name, self._tree.size, root, self._position, self._now(), ""
            )
            self._last = self._folder.add(head)
            self._store(self._last)
        self._folder.set_mark(self._mark)
        return self._last

    @contextmanager
    def _alarming(self) -> Iterator[None]:
        """The database's errors as ours; an alarm is also left in the folder."""
        try:
            with guarded():
                yield
        except TamperAlarm as alarm:
            self._folder.alarm(str(alarm))
            raise

    def _begin(self) -> None:
        self._folder.mend()
        last = self._folder.last()
        stored = newest(self._connection)
        if self._folder.accepted():
            log.critical("a new tree begins: %s", self._folder.accepted())
            self._folder.begin_anew()
            last = stored = None
        if last is None and stored is not None:
            raise TamperAlarm(
                f"the database holds a head of {stored.size} events and {self._folder.path} none:"
                " put the folder back where it was"
            )
        self._last = last
        self._name = last.tree if last else secrets.token_hex(16)
        mark = self._folder.mark() if last else None
        if mark is None or last is None or mark.tree.size > last.size:
            mark = Mark(0, Tree())
        self._mark, self._position, self._tree = mark, mark.position, mark.tree.copy()
        if last is not None:
            self._folder.settle(last)
            self._catch_up(last)

    def _catch_up(self, last: Head) -> None:
        """Read again from the mark up to the last head: its root must come out."""
        while self._tree.size < last.size:
            if not self._take(min(BATCH, last.size - self._tree.size)):
                raise TamperAlarm(
                    f"the log ends at position {self._position} with {self._tree.size} events,"
                    f" {last.size} up to position {last.position} were signed: it was cut or"
                    " brought back from an old backup"
                )
        if (self._tree.root().hex(), self._position) != (last.root, last.position):
            raise TamperAlarm(
                f"the log's first {last.size} events are not those that were signed: root"
                f" {self._tree.root().hex()} at position {self._position}, signed were"
                f" {last.root} at {last.position}"
            )
        self._store(last)  # again, if the last run did not live to do it

    def _take(self, limit: int) -> int:
        rows = read_rows(self._connection, self._position, limit)
        for row in rows:
            if self._tree.size % TILE == 0:  # a restart reads at least the last event again
                self._mark, self._tile = Mark(self._position, self._tree.copy()), Tree()
            self._before, self._leaf = self._position, _leaf(row, self._position)
            self._tree.add(self._leaf)
            self._tile.add(self._leaf)
            self._position = row.position
            if self._tile.size == TILE:
                number = self._tree.size // TILE - 1
                self._tiles.append(Tile(number, self._position, self._tile.root()))
        return len(rows)

    def _still_there(self) -> None:
        """The last event that was taken in must be as it was."""
        if self._tree.size == 0:
            return
        found = read_rows(self._connection, self._before, 1)
        if not found or _leaf(found[0], self._before) != self._leaf:
            raise TamperAlarm(f"the event at position {self._position} was changed or is gone")

    def _store(self, head: Head) -> None:
        wrong = write(self._connection, self._name, self._epoch, self._tiles, head)
        self._tiles = []
        if wrong:
            raise TamperAlarm(f"{wrong} stored subtrees are not those of the log")


def _leaf(row: Row, previous: int) -> bytes:
    return leaf_hash(canonical(row, previous))
