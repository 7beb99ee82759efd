"""`python -m processors.failover`: its exit status says what is known to be lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from infra.failover import EPOCHS, POSITIONS
from infra.store import Store
from tests.processors.kafka_cell import add


def fail_over(dsn: str, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command as an operator runs it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COMPUTE_")}
    return subprocess.run(
        [sys.executable, "-m", "processors.failover", *words],
        env={**env, "COMPUTE_DATABASE_URL": dsn, "COMPUTE_LEASE_TTL_MS": "100", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("beyond", "status", "said"),
    [(0, 0, "nothing is lost"), (3, 1, "up to 3 events are LOST"), (None, 3, "is not known")],
)
def test_it_says_what_may_be_lost(
    store: Store, dsn: str, beyond: int | None, status: int, said: str
) -> None:
    head = add(store, 0, 5)[-1]
    known = [] if beyond is None else ["--known-head", str(head + beyond)]
    done = fail_over(dsn, *known, COMPUTE_KAFKA="127.0.0.1:9")
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert ("Kafka topic" in done.stderr) == (beyond != 0)
    assert add(store, 5, 1)[0] > head + POSITIONS
    assert store.take_role("scheduler", "next").number > EPOCHS, "it held that until it was over"


def test_twice_does_no_harm(store: Store, dsn: str) -> None:
    head = add(store, 0, 5)[-1]
    for _ in range(2):
        assert fail_over(dsn, "--known-head", str(head)).returncode == 0
    assert add(store, 5, 1)[0] > head


def test_it_needs_a_database() -> None:
    done = fail_over("")
    assert done.returncode == 1
    assert "COMPUTE_DATABASE_URL" in done.stderr


def test_the_highest_position_is_a_number(dsn: str) -> None:
    done = fail_over(dsn, "--known-head", "many")
    assert done.returncode == 2
    assert "--known-head" in done.stderr
