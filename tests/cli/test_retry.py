"""Requests over connections that break and servers that are busy: done once, or said so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from compute_platform.client import Client
from compute_platform.errors import Unavailable, Unreachable
from tests.cli.cell import Cell
from tests.cli.conftest import Compute
from tests.cli.server import serving

SPEC = {"name": "x", "project_id": "p", "command": ["true"]}


def test_lost_answers_never_make_a_second_job(client: Client, cell: Cell) -> None:
    for _ in range(5):
        cell.faults.lost_answers = 2
        client.submit(SPEC)
    assert len(cell.jobs) == 5
    assert len([path for method, path, _ in cell.requests if method == "POST"]) == 15


def test_command_uses_one_key_for_an_invocation(compute: Compute, cell: Cell) -> None:
    cell.faults.lost_answers = 1
    assert compute("run", "-d", "--project", "p", "--", "true").exit_code == 0
    assert compute("run", "-d", "--project", "p", "--", "true").exit_code == 0
    assert len(cell.jobs) == 2


def test_chosen_key(compute: Compute, cell: Cell) -> None:
    words = ["run", "-d", "--project", "p", "--idempotency-key", "k1", "--"]
    first, second = compute(*words, "true"), compute(*words, "true")
    assert first.stdout == second.stdout
    assert len(cell.jobs) == 1
    other = compute(*words, "false")
    assert other.exit_code == 65
    assert "used for another request" in other.stderr


def test_busy_server_is_asked_again_and_people_are_told(compute: Compute, cell: Cell) -> None:
    cell.faults.busy = 2
    result = compute("ps")
    assert result.exit_code == 0
    assert result.stderr.count("trying again for up to 30 s") == 1


def test_retry_after_is_honoured(client: Client, cell: Cell) -> None:
    cell.faults.busy, cell.faults.retry_after = 1, 1
    began = time.monotonic()
    client.jobs()
    assert time.monotonic() - began >= 1.0


def test_retry_after_is_bounded(client: Client, cell: Cell) -> None:
    cell.faults.busy, cell.faults.retry_after = 1, 3600
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        client.jobs()
    assert time.monotonic() - began < 1.0


def test_busy_for_too_long(compute: Compute, cell: Cell) -> None:
    cell.faults.busy = 1000
    result = compute("ps", "--retry-for", "0.3")
    assert result.exit_code == 69
    assert "503 database_unavailable" in result.stderr
    assert "req-7" in result.stderr


def test_token_is_asked_for_once_only(compute: Compute, cell: Cell) -> None:
    """A token's answer is not kept by the server, so a lost one must not be asked for again."""
    cell.faults.lost_answers = 1
    assert compute("token", "create", "bob", "--role", "viewer").exit_code == 69
    assert len([path for method, path, _ in cell.requests if method == "POST"]) == 1


def test_reads_show_own_writes(client: Client, cell: Cell) -> None:
    job = client.submit(SPEC)
    client.job(job["id"])
    assert cell.requests[-1][1].endswith(f"?min_position={job['position']}")


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and closes them without a word."""
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                listening.accept()[0].close()
            except OSError:
                return

    thread = threading.Thread(target=work)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_server_that_only_breaks_connections(mute: str) -> None:
    said: list[str] = []
    client = Client(mute, "secret", patience=0.5, tell=said.append)
    with pytest.raises(Unreachable, match="No answer from"):
        client.submit(SPEC)
    assert len(said) == 1


def test_what_may_not_be_repeated_is_not(mute: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable):
        Client(mute, "secret", patience=30).write("POST", "/tokens", {}, key="")
    assert time.monotonic() - began < 1.0


def test_who_answered_before_is_waited_for_while_nobody_listens(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is being started again: an address where nobody ever was is given up sooner."""
    monkeypatch.setattr("compute_platform.transport.ABSENT_SECONDS", 0.1)
    with serving(cell) as url:
        client = Client(url, "secret", patience=20)
        client.jobs()
    read = threading.Event()

    def come_back() -> None:
        read.wait(0.6)
        with serving(cell, int(url.rpartition(":")[2])):
            read.wait()

    again = threading.Thread(target=come_back)
    again.start()
    try:
        assert client.jobs()["items"] == []
    finally:
        read.set()
        again.join()


def test_nobody_at_the_address(compute: Compute) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        free = f"http://127.0.0.1:{listening.getsockname()[1]}"
    result = compute("ps", "--url", free, "--retry-for", "0.1")
    assert result.exit_code == 69
    assert free in result.stderr
    assert "compute up" in result.stderr
