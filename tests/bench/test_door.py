"""`python -m bench` as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.catalogue import BENCHES
from bench.cell import SANDBOX
from tests.real_parts import need


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(("cli", "."))}
    command = [sys.executable, "-m", "bench", *options]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=200, check=False
    )


def test_without_a_name_it_lists_what_there_is() -> None:
    done = bench()
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_each_benchmark_tells_its_options(name: str) -> None:
    done = bench(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_an_unknown_name_is_an_error_that_says_which_there_are() -> None:
    done = bench("sumbit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'sumbit'" in done.stderr
    assert all(name in done.stderr for name in BENCHES)


@pytest.mark.parametrize("size", ["0", "-3", "many"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    done = bench("submit", f"--size={size}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--size" in done.stderr


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        (
            "submit",
            {"submit.platform", "submit.platform-keyed", "submit.postgres"},
        ),
        (
            "start",
            {
                f"start.{part}.{way}"
                for part in ("p50", "p99")
                for way in ("fork-exec", "platform-sandbox", "platform-plain")
            },
        ),
        (
            "truejobs",
            {
                f"truejobs.{part}.{way}"
                for part in ("batch", "single")
                for way in ("fork-exec", "platform-sandbox", "platform-plain")
            },
        ),
    ],
)
def test_json_is_one_object_a_line_with_every_figure(name: str, measured: set[str]) -> None:
    need(not SANDBOX.missing(), SANDBOX.missing())
    done = bench(name, "--json", "--alone", "--size", "6", "--runs", "1")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["name"] for row in rows} == measured
    values = {row["name"]: row["value"] for row in rows}
    for row in rows:
        assert list(row) == ["name", "value", "unit", "size", "ratio", "against"]
        assert row["size"] == 6
        assert row["value"] > 0
        assert row["ratio"] == pytest.approx(row["value"] / values[row["against"]])


def test_appends_are_measured_for_one_writer_and_four() -> None:
    done = bench("append", "--json", "--size", "800", "--runs", "1")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {f"append.{what}.{n}" for what in ("raw", "log") for n in (1, 4)}
    for n in (1, 4):
        assert rows[f"append.log.{n}"]["against"] == f"append.raw.{n}"


def test_the_projector_is_measured_catching_up_and_at_a_steady_rate() -> None:
    done = bench(
        "projector", "--json", "--size", "600", "--runs", "1", "--rate", "200", "--seconds", "1"
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert {"projector.raw", "projector.catch-up", "projector.lag.p99"} < set(rows)
    assert rows["projector.catch-up"]["against"] == "projector.raw"
    assert rows["projector.lag.p99"]["size"] == 200


def test_the_past_is_measured_beside_the_present() -> None:
    done = bench("asof", "--json", "--size", "2000", "--runs", "2")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["asof.queue.p99"]["against"] == "asof.queue.now.p99"
    assert rows["asof.all.p99"]["value"] > 0


def test_cycles_are_measured_with_a_short_and_a_long_queue() -> None:
    sizes = ("--nodes", "20", "--queued", "2000", "--shapes", "6", "--reclaim", "10")
    done = bench("cycle", "--json", *sizes)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert (rows["cycle.short.wall"]["size"], rows["cycle.long.wall"]["size"]) == (20, 2000)
    assert {
        "cycle.short.wall",
        "cycle.memory",
        "cycle.reclaim.gang",
        "cycle.reclaim.singles",
    } < set(rows)
