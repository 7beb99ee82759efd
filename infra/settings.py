"""All settings of the server's processes, read once at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ALARM_CODE = 3
"""With it the processors end when the log does not agree with its signed heads."""


class Settings(BaseSettings):
    """From the environment, each with the prefix COMPUTE_ (for example COMPUTE_DATABASE_URL)."""

    model_config = SettingsConfigDict(env_prefix="COMPUTE_", extra="ignore")

    database_url: str = ""
    """A Postgres DSN; empty only where `infra.local` starts the embedded server."""
    owner_url: str = ""
    """A DSN of the role that owns the tables, for migrations; the services do without it."""
    kafka: str = ""
    """Kafka's host:port, or several separated by commas; without it, no Kafka."""
    kafka_security: Literal["plaintext", "sasl_ssl"] = "plaintext"
    """How its brokers are reached: `sasl_ssl` is SCRAM-SHA-512 over TLS."""
    kafka_user: str = ""
    kafka_password: SecretStr = SecretStr("")
    """Or, better, a file that holds it, with or without a line's end."""
    kafka_password_file: Path | None = None
    kafka_ca_file: Path | None = None
    """PEM of the authority that signed the brokers' certificates; without it, the machine's."""
    follow: Literal["postgres", "kafka"] = "postgres"
    """Where projector and scheduler read the log: itself, or its copy on Kafka."""
    cell: str = "main"
    """The cell's name, as it appears in its Kafka topic."""
    host: str = "127.0.0.1"
    port: int = 8080
    data: Path = Path("data")
    pool_size: int = 16
    """Connections one process may hold for queries."""
    body_limit_bytes: int = 1 << 20
    database_folder: Path | None = None
    """Where the database's files lie on this machine; its disk is then watched."""
    database_reserve_bytes: int = 512 << 20
    """With less than this free on the database's disk, commands are refused; 0: never."""
    metrics_token: str = ""
    """What a scraper may show in place of a token of the platform, at /metrics only."""
    metrics_loopback: bool = False
    """Whether /metrics is answered without a token on connections from this machine."""
    lease_ttl_ms: int = 20_000
    history_seconds: int = Field(default=0, ge=0)
    """How far back `as_of` can ask: older history of the read models is deleted. 0 keeps all."""
    log_cap_bytes: int = 64 << 20
    """The most that is kept of what one seat prints."""
    witness: Path | None = None
    """The folder that witnesses the log: signing key and signed tree heads; without it, none."""
    witness_seconds: float = 10.0
    """Between two signed heads, if the log grew."""
