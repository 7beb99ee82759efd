"""Apache Kafka: who the brokers are, how to reach them, and the clients' settings.

Imported only where COMPUTE_KAFKA is set: a platform without Kafka never loads the client.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka
from kafka.errors import AuthorizationError, KafkaError

from domain.errors import Denied, Invalid, Unavailable
from infra.settings import Settings

CONNECT_MS = 3_000
"""How long a new client may take to reach a first broker."""
RECORD_BYTES = 4 << 20
"""The largest record; the topic is made to take it."""
FETCH_BYTES = 8 << 20
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_CELL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# The client reports every failed attempt to reach a broker, many a second while one is away; what
# fails in the end reaches us as an exception and is logged once by whoever asked.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Brokers:
    """Where the brokers are, and as whom to speak to them.

    With a `username`: SASL/SCRAM-SHA-512 over TLS. With only a `ca_file`: TLS. With neither: plain
    text, for loopback and networks of one's own.
    """

    servers: tuple[str, ...]
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """What every client is made with; the password is read anew for each.

        Raises Invalid if a file cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": CONNECT_MS,
            "reconnect_backoff_max_ms": 1_000,
            "security_protocol": "PLAINTEXT",
        }
        if self.ca_file is not None:
            _read("COMPUTE_KAFKA_CA_FILE", self.ca_file)
            options |= {"security_protocol": "SSL", "ssl_cafile": str(self.ca_file)}
        if self.username and self.password_file is not None:
            password = _read("COMPUTE_KAFKA_PASSWORD_FILE", self.password_file).strip()
            options |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": password,
            }
        return options

    def producer(self) -> Any:
        """A producer whose records arrive in order, each acknowledged by all replicas in sync."""
        with reaching(self):
            return kafka.KafkaProducer(
                **self.options(),
                # Explicit: were it left out, a conflicting setting would turn it off in silence.
                enable_idempotence=True,
                acks="all",
                batch_size=128 << 10,
                max_request_size=RECORD_BYTES,
                request_timeout_ms=10_000,
                delivery_timeout_ms=30_000,
                max_block_ms=10_000,
                allow_auto_create_topics=False,
            )

    def consumer(self) -> Any:
        """A consumer outside any group: it is told its partition and offset, and commits none."""
        with reaching(self):
            return kafka.KafkaConsumer(
                **self.options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",  # an offset that is gone is an error, never a jump
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_bytes=FETCH_BYTES,
                fetch_max_wait_ms=250,  # other requests on the connection wait behind a fetch
                request_timeout_ms=10_000,
                allow_auto_create_topics=False,
            )

    def admin(self) -> Any:
        """A client that makes topics."""
        with reaching(self):
            return kafka.KafkaAdminClient(**self.options(), request_timeout_ms=10_000)


def brokers(settings: Settings) -> Brokers:
    """The brokers that are set; Invalid, naming the variable and the fix, if that makes no sense."""
    servers = tuple(part.strip() for part in settings.kafka.split(","))
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match[2]) < 65536:
            raise Invalid(
                "bad_kafka",
                f"COMPUTE_KAFKA: {server!r} is not host:port; give one or more, separated by commas",
            )
    username, password = settings.kafka_username, settings.kafka_password_file
    if bool(username) != bool(password):
        raise Invalid(
            "bad_kafka",
            "set both COMPUTE_KAFKA_USERNAME and COMPUTE_KAFKA_PASSWORD_FILE, or neither",
        )
    ca_file = settings.kafka_ca_file
    found = Brokers(
        servers,
        username,
        Path(password) if password else None,
        Path(ca_file) if ca_file else None,
    )
    found.options()  # unreadable files are refused now, not by a retry later
    return found


def topic_name(cell: str) -> str:
    """The topic of a cell; Invalid for a name that is no DNS label."""
    if not _CELL.fullmatch(cell):
        raise Invalid(
            "bad_cell",
            f"COMPUTE_CELL: {cell!r} must be 1 to 63 of a-z, 0-9 and -, with no - at its ends",
        )
    return f"compute.{cell}.events"


def source_name(cell: str) -> str:
    """The CloudEvents source of a cell's events."""
    return f"/compute/cells/{cell}"


@contextmanager
def reaching(where: Brokers) -> Iterator[None]:
    """Give the client's errors as ours: Denied for a missing permission, else Unavailable."""
    try:
        yield
    except AuthorizationError as error:
        who = where.username or "anonymous"
        raise Denied("kafka_denied", f"the brokers refuse {who!r}: {error}") from error
    except (KafkaError, OSError) as error:
        at = ",".join(where.servers)
        raise Unavailable("kafka_unavailable", f"Kafka at {at}: {error}") from error


def _read(name: str, file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("bad_kafka", f"{name}: cannot read {file}: {error}") from error
