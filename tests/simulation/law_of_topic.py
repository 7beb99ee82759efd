"""The law of the topic (I16), by somebody who knows the log and looks at every record.

The topic is the log, repeats passed over: in order, to the byte, nothing missing once nothing goes
wrong any more. Who reads it is given what the log holds, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.event import Recorded
from infra.cloudevents import Received, received
from tests.simulation.kafka import Record
from tests.simulation.laws import Fail
from tests.simulation.log import MemoryLog


class LawOfTopic:
    """What came to the topic, and what was read there."""

    def __init__(self, fail: Fail, log: MemoryLog, source: str) -> None:
        self._fail, self._log, self._source = fail, log, source
        self._previous: dict[int, int] = {}  # of every event that ever was, also of those lost
        self.reached = 0
        """Up to where somebody has come who passes over repeats and what does not follow."""

    def recorded(self, batch: Sequence[Recorded]) -> None:
        """A transaction was committed."""
        previous = self._log.before(batch[0].position)
        for item in batch:
            self._previous[item.position] = previous
            previous = item.position

    def arrived(self, record: Record, stray: bool) -> None:
        """A record came to the end of the topic; a stray is from before records were lost."""
        event = self._event(record)
        position, previous = event.position, event.previous
        if self._previous.get(position) != previous:
            self._fail("I16", f"position {position} is said to follow {previous}, it does not", "")
        if position > self.reached >= previous:
            self.reached = position
        elif position > self.reached and not stray:
            self._fail("I16", f"position {position} comes after {self.reached}: a gap", "")

    def lost(self, records: Sequence[Record]) -> None:
        """These are left of the topic."""
        self.reached = 0
        for record in records:
            event = self._event(record)
            if event.position > self.reached >= event.previous:
                self.reached = event.position

    def given(self, after: int, found: Sequence[Recorded]) -> None:
        """A reader got these events above a position."""
        held = self._log.events(after, len(found))
        if list(found) != held:
            places = [event.position for event in found], [event.position for event in held]
            self._fail(
                "I16", "above {} a reader got {}, the log holds {}".format(after, *places), ""
            )

    def at_end(self, records: Sequence[Record]) -> None:
        """All has settled."""
        reached, held = 0, self._log.events(0, 10**9)
        kept: list[Received] = []
        for event in map(self._event, records):
            if event.position > reached >= event.previous:
                reached = event.position
                kept.append(event)
        places = [event.position for event in held]
        if [event.position for event in kept] != places:
            extra = sorted({event.position for event in kept} - set(places))
            lacking = sorted(set(places) - {event.position for event in kept})
            self._fail("I16", f"the topic lacks {lacking[:5]} and has {extra[:5]} of no log", "")
        rows = self._log.rows(0, 10**9)
        for event, item, row in zip(kept, held, rows, strict=True):
            if event.recorded() != item or event.value not in row.state:
                self._fail("I16", f"position {item.position} is another event in the topic", "")

    def _event(self, record: Record) -> Received:
        return received(record.headers, record.value, self._source)
