"""Apache Kafka: where the brokers are, a cell's names there, and the clients' settings.

Imported only where COMPUTE_KAFKA is set: a platform without Kafka never loads the client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import kafka
from kafka import TopicPartition
from kafka.errors import AuthorizationError, KafkaError
from kafka.net.compat import KafkaNetClient

from domain.errors import Denied, Invalid, Unavailable
from infra.kafka_login import Login, login_of
from infra.settings import Settings

RECORD_BYTES = 4 << 20
"""The largest record; the topic is made to take it."""
FETCH_BYTES = 8 << 20
"""The most a consumer asks for at once: what bounds its memory."""
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_CELL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Cell:
    """A cell's place on Kafka: one topic with one partition, and its CloudEvents source."""

    servers: tuple[str, ...]
    topic: str
    source: str
    login: Login | None = None

    @property
    def partition(self) -> TopicPartition:
        """The partition that holds the log."""
        return TopicPartition(self.topic, 0)

    def producer(self) -> Any:
        """A producer whose records arrive in order, each acknowledged by all replicas in sync."""
        return self._made(
            kafka.KafkaProducer,
            # Explicit: were it left out, a conflicting setting would turn it off in silence.
            enable_idempotence=True,
            acks="all",
            batch_size=128 << 10,
            max_request_size=RECORD_BYTES,
            delivery_timeout_ms=30_000,
            max_block_ms=10_000,
        )

    def consumer(self, fetch_bytes: int = FETCH_BYTES) -> Any:
        """A consumer of the partition, outside any group: it is told its offset, and commits none.

        An offset that is gone is an error, never a jump.
        """
        consumer = self._made(
            kafka.KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=fetch_bytes,
            fetch_max_bytes=fetch_bytes,
            fetch_max_wait_ms=250,  # other requests on the connection wait behind a fetch
        )
        consumer.assign([self.partition])
        return consumer

    def admin(self) -> Any:
        """A client that makes topics."""
        return self._made(kafka.KafkaAdminClient)

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Give the client's errors as ours: Denied for a missing permission, else Unavailable."""
        try:
            yield
        except AuthorizationError as error:
            raise Denied("kafka_denied", f"the brokers refuse: {error}") from error
        except (KafkaError, OSError) as error:
            if "AuthorizationFailed" in str(error):  # the producer's start gives it as text only
                raise Denied("kafka_denied", f"the brokers refuse: {error}") from error
            at = ",".join(self.servers)
            raise Unavailable("kafka_unavailable", f"Kafka at {at}: {error!r}") from error

    def _made(self, kind: Callable[..., Any], **options: Any) -> Any:
        """A client. One that reaches no broker is never given to us, but its thread would go on
        polling (kafka-python 3.0.12): so its connections are ended here."""
        made: list[KafkaNetClient] = []

        def connections(**config: Any) -> KafkaNetClient:
            made.append(KafkaNetClient(**config))
            return made[-1]

        with self.reaching():
            try:
                return kind(**self._options(), **options, kafka_client=connections)
            except BaseException:
                for each in made:
                    each.close()
                raise

    def _options(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": 3_000,
            "request_timeout_ms": 10_000,
            "reconnect_backoff_max_ms": 1_000,
            **(self.login.options() if self.login else {}),
        }


def cell_of(settings: Settings) -> Cell:
    """The cell that is set; Invalid, naming the variable and the fix, if that makes no sense."""
    servers = tuple(part.strip() for part in settings.kafka.split(","))
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match[2]) < 65536:
            raise Invalid(
                "bad_kafka",
                f"COMPUTE_KAFKA: {server!r} is not host:port, or several with commas between",
            )
    if not _CELL.fullmatch(settings.cell):
        raise Invalid(
            "bad_cell",
            f"COMPUTE_CELL: {settings.cell!r} must be 1 to 63 of a-z, 0-9 and -, with no - at its"
            " ends",
        )
    topic, source = f"compute.{settings.cell}.events", f"/compute/cells/{settings.cell}"
    return Cell(servers, topic, source, login_of(settings))
