"""When and how a seat's checkpoint directory is published, away from the main loop."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass, field
from typing import Literal

from agents import proc
from agents.checkpoints import Memory, NotQuiet, Signature, TooManyFiles, look, publish
from agents.chunks import ObjectFolder
from agents.runner import Runner
from agents.seats import Published, SeatFolder
from agents.wire import CheckpointSaved, Order

log = logging.getLogger(__name__)
SECOND_US = 1_000_000
WINDOW_US = 60 * SECOND_US
"""For how long after it was asked a job may take to save before it is asked anew."""
TRIES_AT_END = 3


@dataclass
class Saver:
    """The checkpoints of one seat: asks for them at the interval, publishes what is new."""

    order: Order
    folder: SeatFolder
    memory: Memory = field(default_factory=Memory)
    due_us: int = 0
    window_end_us: int = 0
    seen: Signature = field(default_factory=dict)
    newest: str = ""

    def begin(self, now_us: int) -> None:
        """The seat runs: the first save is due an interval from now."""
        self.due_us = now_us + self._interval_us()
        published = self.folder.read_published()
        self.newest = published.fact.digest if published else ""

    def tick(self, runner: Runner, now_us: int) -> bool:
        """Ask the job to save when that is due; whether it is time to look for what it saved."""
        if now_us >= self.due_us:
            self.due_us = now_us + self._interval_us()
            self.window_end_us = now_us + min(WINDOW_US, self._interval_us())
            runner.signal(self.order.key, signal.SIGUSR1, only_if_caught=True)
            return False
        return now_us < self.window_end_us

    def look(self, objects: ObjectFolder) -> CheckpointSaved | None:
        """Publish what changed, once it was quiet between two looks; None if there is nothing."""
        try:
            now = look(self.folder.checkpoint)
        except (NotQuiet, TooManyFiles, OSError):
            return None
        quiet, self.seen = now == self.seen, now
        if not quiet or now == self.memory.identities:
            return None
        fact = self.save(objects, "interval")
        if fact is not None:
            self.window_end_us = proc.now_us()
        return fact

    def save(
        self, objects: ObjectFolder, cause: Literal["interval", "stop", "exit"]
    ) -> CheckpointSaved | None:
        """Publish the directory as it is; None if it is empty, unchanged or never quiet."""
        for _ in range(TRIES_AT_END):
            try:
                found = publish(self.folder.checkpoint, objects, self.memory)
                break
            except NotQuiet:
                continue
            except (TooManyFiles, OSError) as error:
                log.warning("%s: its checkpoint was not published: %s", self.order.key, error)
                return None
        else:
            return None
        if found is None or found.digest == self.newest:
            return None
        self.newest = found.digest
        key = self.order.key
        fact = CheckpointSaved(*key, cause, found.digest, found.files, found.bytes, found.new_bytes)
        self.folder.write_published(Published(fact))
        return fact

    def _interval_us(self) -> int:
        return self.order.seat.checkpointing.interval_seconds * SECOND_US
