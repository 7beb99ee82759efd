"""Clients of brokers that do not answer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from domain.errors import Unavailable
from infra.kafka import Cell

NOWHERE = Cell(("127.0.0.1:1",), "compute.test.events", "/compute/cells/test")


@pytest.mark.parametrize("kind", ["consumer", "producer", "admin"])
def test_a_client_that_reaches_no_broker_leaves_nothing_behind(kind: str) -> None:
    """Relay and readers try again for as long as the brokers are away."""
    before = _open()
    with pytest.raises(Unavailable) as refused:
        getattr(NOWHERE, kind)()
    assert refused.value.code == "kafka_unavailable"
    assert _open() == before


def _open() -> tuple[set[str], int]:
    """The kafka threads of this process, and how many sets of sockets are waited on."""
    threads = {t.name + str(t.ident) for t in threading.enumerate() if t.name.startswith("kafka")}
    files = (file for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
    return threads, sum(str(file.readlink()) == "anon_inode:[eventpoll]" for file in files)
