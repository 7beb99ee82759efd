"""At a terminal and without one: colour, and where it must not be."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.cell import QUEUED, RUNNING, Cell, ended
from tests.cli.conftest import Process


def _at_terminal(environment: dict[str, str], *words: str, **settings: str) -> bytes:
    """What `compute WORDS` writes to a terminal."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "compute_platform", *words],
        env={**environment, "TERM": "xterm", **settings},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:
        pass  # Linux ends a terminal so when its last user is gone
    finally:
        os.close(ours)
        running.wait(timeout=20)
    assert running.returncode == 0, written
    return written


@pytest.fixture(autouse=True)
def jobs(cell: Cell) -> None:
    cell.add(name="r", **RUNNING)
    cell.add(name="f", **ended("failed", 1))


def test_colour_at_a_terminal(environment: dict[str, str]) -> None:
    written = _at_terminal(environment, "ps", "-a")
    assert b"\x1b[32mrunning\x1b[0m" in written
    assert b"\x1b[31mfailed\x1b[0m" in written


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(
    environment: dict[str, str], settings: dict[str, str]
) -> None:
    written = _at_terminal(environment, "ps", "-a", **settings)
    assert b"running" in written
    assert b"\x1b" not in written


def test_columns_line_up_with_colour(environment: dict[str, str]) -> None:
    plain = _at_terminal(environment, "ps", "-a", NO_COLOR="1")
    coloured = _at_terminal(environment, "ps", "-a")
    for code in (b"\x1b[32m", b"\x1b[31m", b"\x1b[33m", b"\x1b[0m"):
        coloured = coloured.replace(code, b"")
    assert coloured == plain


def test_no_colour_in_a_pipe(process: Process) -> None:
    out, errors = process("ps", "-a", TERM="xterm").communicate(timeout=20)
    assert b"running" in out
    assert b"\x1b" not in out + errors


def test_ctrl_c_leaves_the_job(process: Process, cell: Cell) -> None:
    cell.scripts["sleep"] = [QUEUED, RUNNING]
    running = process("run", "--project", "p", "--", "sleep", "60")
    assert running.stderr is not None
    said = b""
    while b"running" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"the job goes on" in errors
    assert b"Traceback" not in errors
    assert [job["phase"] for job in cell.jobs.values()][-1] == "running"


def test_ctrl_c_ends_a_watch(process: Process) -> None:
    running = process("ps", "-w", "--json")
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b'{"items"')
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert (running.returncode, errors) == (130, b"")


def test_reader_that_goes_away(process: Process, cell: Cell) -> None:
    cell.add(name="long", log=b"x" * 5_000_000, **ended("succeeded", 0))
    running = process("logs", "long")
    assert running.stdout is not None
    assert running.stdout.read(10) == b"x" * 10
    running.stdout.close()
    deadline = time.monotonic() + 20
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.returncode == 1
    assert running.stderr is not None
    assert b"Traceback" not in running.stderr.read()
    running.stdout = None
