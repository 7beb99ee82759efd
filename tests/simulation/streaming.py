"""The cell's Kafka in a world: its relays, who reads the topic, and what the operator does.

Everything between the log and the brokers' client is the product's own: `processors.relay`,
`infra.topic`, `infra.partition`, `infra.kafka_stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from kafka.errors import KafkaError, KafkaTimeoutError

from domain.errors import Refusal
from domain.event import Recorded
from domain.values.time import MILLISECOND, SECOND
from infra.kafka_stream import KafkaStream, Rows
from infra.leader import SILENT_SECONDS
from infra.recorder import Epoch
from infra.topic import Topic
from processors.relay import BATCH, CHECK_SECONDS, Relay
from tests.simulation.control import Work
from tests.simulation.database import Database
from tests.simulation.kafka import MemoryBrokers, MemoryCell, Record
from tests.simulation.law_of_topic import LawOfTopic
from tests.simulation.plan import Plan

if TYPE_CHECKING:
    from tests.simulation.world import World

TOPIC, SOURCE = "compute.main.events", "/compute/cells/main"
IDLE = int(CHECK_SECONDS * SECOND) + MILLISECOND


@dataclass
class Rough:
    """What goes wrong between a relay and the brokers, in ten-thousandths of the batches."""

    killed_before: int = 0
    killed_after: int = 0
    unheard: int = 0
    torn: int = 0
    away_until: int = 0
    stalls: list[int] = field(default_factory=list)
    """How long the next relays that publish stand still first, in microseconds."""

    def end(self) -> None:
        """A good day from now on."""
        self.killed_before = self.killed_after = self.unheard = self.torn = 0
        self.away_until = 0
        self.stalls.clear()


class Streaming:
    """Of a world that has Kafka; `follows` are the processes that read the topic."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._random = plan.random("streaming")
        self.rough = Rough()
        self.brokers = MemoryBrokers()
        self.brokers.reachable = lambda: world.loop.now >= self.rough.away_until
        self.brokers.arrived = self._arrived
        self.brokers.makes_topics = self._random.random() < 0.5
        self.law = LawOfTopic(world.checker.fail, world.log, SOURCE)
        self.cell = MemoryCell(("memory:9092",), TOPIC, SOURCE, None, self.brokers, told=self._told)
        self.readers: dict[str, Reader] = {}
        self.follows = frozenset(
            name
            for name in ("projector", "scheduler")
            if plan.random(f"follow {name}").random() < 0.5 and plan.has(f"follow#{name}")
        )
        self._deleting = False

    def relay(self, database: Database, epoch: Epoch) -> Work:
        """A relay's life."""
        found: list[Relay] = []
        cell = replace(self.cell, line=RoughLine(self._world, self.rough, database, epoch))

        def work() -> int:
            with self.noticing():
                if not found:
                    loop = self._world.loop
                    topic, clock = Topic(cell), lambda: loop.now / SECOND
                    found.append(Relay(database, topic, epoch, database, clock))
                return 0 if found[0].turn() == BATCH else IDLE

        return work

    def recorded(self, batch: list[Recorded], *_: object) -> None:
        """A transaction was committed."""
        self.law.recorded(batch)

    def reader(self, name: str, rows: Rows) -> Reader:
        """A way to follow the log through the topic."""
        self.readers[name] = Reader(self, rows)
        return self.readers[name]

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Whoever is refused for what the log does not hold calls for the operator."""
        try:
            yield
        except Refusal as refusal:
            self._world.loop.seen[f"kafka: {refusal.code}"] += 1
            if refusal.code == "foreign_topic":
                self.delete_soon(self._random)
            raise

    def delete_soon(self, random: Random) -> None:
        """The operator deletes the topic, as docs/reliability.md says."""
        if not self._deleting:
            self._deleting = True
            self._world.loop.after(random.randrange(100, 20_000) * MILLISECOND, self._delete)

    def _delete(self) -> None:
        self._deleting = False
        self.lose("the operator deletes the topic")

    def lose(self, why: str, end: int = 0) -> None:
        """Records are lost: all, or those from an offset on."""
        self._world.trace.note(f"{why}, from offset {end} on")
        if end:
            self.brokers.cut(TOPIC, end)
        else:
            self.brokers.delete(TOPIC)
        self.law.lost(self.records)

    @property
    def records(self) -> list[Record]:
        topic = self.brokers.topics.get(TOPIC)
        return topic.records if topic else []

    def _arrived(self, record: Record, stray: bool) -> None:
        loop = self._world.loop
        loop.seen["kafka: a record from before a loss"] += stray
        before = self.law.reached
        self.law.arrived(record, stray)
        loop.seen["kafka: a record twice"] += before == self.law.reached
        self._world.streamed()

    def _told(self, record: Record) -> Record:
        """A record as code sees it that cannot read some events."""
        bad = self._world.log.unreadable
        if not bad or int(dict(record.headers)["ce_position"]) not in bad:
            return record
        headers = [(name, b"?" if name == "ce_type" else of) for name, of in record.headers]
        return replace(record, headers=headers)

    def settled(self) -> bool:
        """Whether the topic and who reads it have come to the end of the log."""
        head = self._world.log.head()
        return self.law.reached == self._world.views.position == head and not self._deleting

    def check_end(self) -> None:
        """All has settled."""
        if not self.settled():
            places = self._world.log.head(), self.law.reached, self._world.views.position
            self._world.checker.fail(
                "I16", "the log ends at {}, the topic {}, views {}".format(*places)
            )
        self.law.at_end(self.records)

    def positions(self) -> list[bytes]:
        """What it holds, for a checksum."""
        return [dict(record.headers)["ce_position"] for record in self.records]


class Reader:
    """The port `EventStream` on the topic, begun anew after each failure as its process is."""

    def __init__(self, streaming: Streaming, rows: Rows) -> None:
        self._streaming, self._rows = streaming, rows
        self._stream: KafkaStream | None = None

    def read(self, after: int, limit: int) -> list[Recorded]:
        """Events above `after`, as the topic has them."""
        cell, kept = self._streaming.cell, self._stream
        self._stream = None
        with self._streaming.noticing():
            stream = kept or KafkaStream(cell, self._rows)
            found = stream.read(after, limit)
        self._streaming.law.given(after, found)
        self._stream = stream
        return found

    def wait(self, seconds: float) -> None:
        """Nothing: the loop calls when there is something."""

    def jump(self, latest: bool) -> bool:
        """Somebody sets its offset; whether there was one."""
        if self._stream is None:
            return False
        consumer, here = self._stream._consumer, self._streaming.cell.partition
        try:
            consumer.seek_to_end(here) if latest else consumer.seek_to_beginning(here)
        except KafkaTimeoutError:
            return False
        return True


class RoughLine:
    """From one relay's producer to the brokers."""

    def __init__(self, world: World, rough: Rough, database: Database, epoch: Epoch) -> None:
        self._world, self._rough, self._database, self._epoch = world, rough, database, epoch

    def carry(self, count: int, arrive: Callable[[int], None]) -> None:
        rough, process = self._rough, self._database
        if rough.stalls:
            self._stand_still()
        process.die(rough.killed_before, "before it published")
        self._reach()
        if process.happens(rough.torn):
            count -= self._torn(count, arrive)
        arrive(count)
        process.die(rough.killed_after, "after it published")
        if process.happens(rough.unheard):
            self._world.loop.seen["kafka: an acknowledgement lost"] += 1
            raise KafkaTimeoutError("no answer came")

    def _reach(self) -> None:
        if self._world.loop.now < self._rough.away_until:
            raise KafkaTimeoutError("the brokers do not answer")

    def _stand_still(self) -> None:
        """SIGSTOP: longer than a leader may be silent, its lock goes to who asks."""
        length = self._rough.stalls.pop(0)
        world, still = self._world, [True]
        world.trace.note(f"the relay stands still for {length / 1e6:.1f} s with rows in its hands")
        world.loop.after(
            SILENT_SECONDS * SECOND, lambda: world.cut_off(self._epoch) if still else None
        )
        world.loop.seen["kafka: a relay stands still"] += 1
        try:
            self._database.pause(length)
        finally:
            still.clear()

    def _torn(self, count: int, arrive: Callable[[int], None]) -> int:
        """A part arrives; what comes of the rest is seen later. How many did arrive."""
        world, process = self._world, self._database
        part = process.up_to(count)
        arrive(part)
        world.loop.seen["kafka: a batch in two parts"] += 1
        what = process.up_to(2)
        if what == 0:  # others write in between
            process.pause(process.up_to(3000) * MILLISECOND)
            self._reach()
        elif what == 1:  # the process is killed; the rest is on the wire
            late = process.up_to(8000) * MILLISECOND
            world.loop.after(late, lambda: _if_it_can(arrive, count - part))
            process.die(10_000, "while it published")
        else:  # the connection breaks
            raise KafkaTimeoutError("the connection broke")
        return part


def _if_it_can(arrive: Callable[[int], None], count: int) -> None:
    try:
        arrive(count)
    except KafkaError:  # nobody is there to be told
        return
