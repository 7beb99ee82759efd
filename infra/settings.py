"""All settings of the server's processes, read once at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """From the environment, each with the prefix COMPUTE_ (for example COMPUTE_DATABASE_URL)."""

    model_config = SettingsConfigDict(env_prefix="COMPUTE_", extra="ignore")

    database_url: str = ""
    """A Postgres DSN; empty only where `infra.local` starts the embedded server."""
    kafka: str = ""
    """Kafka's host:port, or several separated by commas; without it, no Kafka."""
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
    lease_ttl_ms: int = 20_000
    history_seconds: int = Field(default=0, ge=0)
    """How far back `as_of` can ask: older history of the read models is deleted. 0 keeps all."""
    log_cap_bytes: int = 64 << 20
    """The most that is kept of what one seat prints."""
