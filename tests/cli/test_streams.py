"""Streams over connections that break: every byte and every event once."""

from __future__ import annotations

import json
import random
import threading
import time
from itertools import islice

import pytest

from compute_platform import follow
from compute_platform.client import Client
from compute_platform.errors import Problem, Unexpected, Unreachable
from tests.cli.cell import RUNNING, Cell, ended
from tests.cli.conftest import Compute, Process
from tests.cli.server import serving


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _print_slowly(cell: Cell, job: str, output: bytes) -> threading.Thread:
    def work() -> None:
        chance = random.Random(1)
        at = 0
        while at < len(output):
            step = chance.randrange(1, 3000)
            with cell.changed:
                cell.logs[job] += output[at : at + step]
                cell.changed.notify_all()
            at += step
            time.sleep(0.001)
        with cell.changed:
            cell.jobs[job].update(ended("succeeded", 0))
            cell.changed.notify_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["as documented", "no end event", "undelimited"])
def test_followed_log_is_whole_over_random_breaks(
    client: Client, cell: Cell, seed: int, form: str
) -> None:
    chance, output = random.Random(seed), _noise(seed, 60_000)
    cell.faults.cuts = [chance.randrange(0, 9000) for _ in range(8)]
    cell.faults.silent_end = form != "as documented"
    cell.faults.undelimited = form == "undelimited"
    job = cell.add(name="a", **RUNNING)["id"]
    printing = _print_slowly(cell, job, output)
    got = b"".join(client.logs(job, follow=True))
    printing.join()
    assert got == output
    asked = [path for _, path, _ in cell.requests if "/logs" in path]
    assert len(asked) > 3  # it was broken indeed


def test_large_events_over_short_connections(client: Client, cell: Cell) -> None:
    """No event ever arrives whole: 1,000 bytes take 1,400 to send, and 700 is all there is."""
    output = _noise(9, 5000)
    job = cell.add(name="a", log=output, **ended("succeeded", 0))["id"]
    cell.faults.cuts = [700] * 20
    assert b"".join(client.logs(job, follow=True)) == output


@pytest.mark.parametrize("undelimited", [False, True])
def test_log_without_following_is_whole_over_breaks(
    client: Client, cell: Cell, undelimited: bool
) -> None:
    output = _noise(7, 20_000)
    # An undelimited answer cut before its first byte is an empty log: nothing could tell.
    cell.faults.cuts = [3000, 1, 4999] if undelimited else [0, 3000, 1, 4999]
    cell.faults.undelimited = undelimited
    job = cell.add(name="a", log=output, **ended("succeeded", 0))["id"]
    assert b"".join(client.logs(job)) == output
    assert b"".join(client.logs(job, offset=19_999)) == output[-1:]


def test_command_follows_byte_for_byte_and_stops_with_the_job(process: Process, cell: Cell) -> None:
    output = _noise(3, 30_000)
    cell.faults.cuts = [5000, 0, 7000, 20]
    job = cell.add(name="a", **RUNNING)["id"]
    printing = _print_slowly(cell, job, output)
    running = process("logs", "-f", "a")
    got, errors = running.communicate(timeout=30)
    printing.join()
    assert (running.returncode, got) == (0, output), errors


def test_follow_goes_on_after_the_server_was_away(cell: Cell, url: str) -> None:
    """The server is stopped and started again elsewhere; only the address stays the same."""
    del url
    job = cell.add(name="a", log=b"first ", **RUNNING)["id"]
    with serving(cell) as first:
        client = Client(first, "secret", patience=5)
        log = client.logs(job, follow=True)
        got = next(log)
    port = int(first.rpartition(":")[2])
    cell.closed = False
    cell.logs[job] += b"second"
    cell.jobs[job].update(ended("succeeded", 0))
    with serving(cell, port):
        got += b"".join(log)
    assert got == b"first second"


def test_server_that_stays_away_ends_the_stream(cell: Cell) -> None:
    job = cell.add(name="a", log=b"first ", **RUNNING)["id"]
    with serving(cell) as first:
        log = Client(first, "secret", patience=0.02).logs(job, follow=True)
        assert next(log) == b"first "
    with pytest.raises(Unreachable):
        list(log)


def test_gap_is_an_error_and_never_silent() -> None:
    with pytest.raises(Unexpected, match="after byte 3 came byte 5"):
        follow._unseen(9, b"abcd", 3)
    assert follow._unseen(9, b"abcd", 7) == b"cd"
    assert follow._unseen(9, b"abcd", 9) == b""


def test_refusal_ends_the_stream_at_once(client: Client) -> None:
    with pytest.raises(Problem, match="no such job"):
        list(client.logs("job-00000000000000000000000000", follow=True))


def test_events_are_followed_over_breaks(client: Client, cell: Cell) -> None:
    for position in range(1, 40):
        cell.events.append({"position": position, "name": "x.y.v1", "stream": "job/a"})
    chance = random.Random(5)
    cell.faults.cuts = [chance.randrange(0, 900) for _ in range(9)]
    got = [event["position"] for event in islice(client.follow_events(after=2), 37)]
    assert got == list(range(3, 40))


def test_followed_events_are_one_object_a_line(process: Process, cell: Cell) -> None:
    cell.events.append({"position": 1, "name": "x.y.v1", "stream": "job/a", "data": {"a": "ö"}})
    running = process("events", "-f", "--json")
    assert running.stdout is not None
    assert json.loads(running.stdout.readline()) == cell.events[0]
    cell.events.append({"position": 2, "name": "x.y.v1", "stream": "job/b"})
    assert json.loads(running.stdout.readline())["position"] == 2  # comes as it happens


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_server_sent_events_by_the_standard(newline: bytes, size: int) -> None:
    lines = [
        b": comment", b"", b"id: 1", b"data: a", b"data:b", b"", b"event: end", b"data", b"",
        b"id: 2", b"data:  two", b"retry: 1", b"", b"data: half",
    ]  # fmt: skip
    text = newline.join(lines) + newline
    parts = (text[at : at + size] for at in range(0, len(text), size))
    assert list(follow.server_sent(parts)) == [
        (b"", "1", b"a\nb"),
        (b"end", "1", b""),
        (b"", "2", b" two"),
    ]


def test_log_as_json_lines(compute: Compute, cell: Cell) -> None:
    cell.add(name="a", log=b"\xff" * 1500, **ended("succeeded", 0))
    lines = [json.loads(line) for line in compute("logs", "a", "--json").stdout.splitlines()]
    assert lines[-1]["offset"] == 1500


def test_all_events_are_read_page_by_page(client: Client, cell: Cell) -> None:
    for position in range(1, 251):
        cell.events.append({"position": position, "name": "x.y.v1", "stream": "job/a"})
    read = [event["position"] for event in client.events()["items"]]
    assert read == list(range(1, 251))
    assert [event["position"] for event in client.events(100, 50)["items"]] == read[100:150]
