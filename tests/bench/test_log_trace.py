"""`simulate --trace log` on logs that a test's platform wrote, from its database and its export."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import utilisation
from bench.log_reader import read_export, read_log
from bench.log_trace import histories
from domain.allocation.seat import Outcome
from domain.event import Recorded
from domain.job import events as e
from domain.job import job as jobs
from infra.tree import export
from processors.projector import connect
from tests.bench.test_batch import values
from tests.processors.small_cell import SmallCell, settle, small_cell
from tests.processors.test_witness import sign


def story(cell: SmallCell) -> str:
    """Two run, one leaves for an urgent one, one is taken back, a node comes late; who left."""
    cell.register("node-1", cpus=2)
    for name in ("a", "b"):
        cell.submit(name)
    leader = cell.scheduler()
    settle(leader)
    cell.start("a")
    cell.start("b")
    for name in ("waits", "withdrawn"):
        cell.submit(name, resources=cell.cpus(2))
    settle(leader)
    cell.decide("withdrawn", lambda job: jobs.cancel(job, cell.now()))
    cell.submit("urgent", priority=9)
    settle(leader)
    [left] = [name for name in ("a", "b") if cell.phase(name) == "preempting"]
    cell.end(left, Outcome.STOPPED, 143)
    settle(leader)
    cell.start("urgent")
    for name in {"a", "b", "urgent"} - {left}:
        cell.end(name)
    settle(leader)
    cell.register("node-2", cpus=2)
    settle(leader)
    for name in (left, "waits"):
        cell.start(name)
        cell.end(name)
    settle(leader)
    cell.register("node-3", cpus=2)
    return left


def exported(dsn: str, cell: SmallCell, folder: Path) -> Path:
    """The log as `compute audit export` writes it."""
    sign(dsn, cell.store, folder / "witness")
    path = folder / "log.jsonl"
    with connect(dsn) as connection:
        path.write_bytes(b"".join(export(connection)))
    return path


def when(log: list[Recorded], job: str, kind: type[e.JobEvent], number: int = 0) -> int:
    found = [r for r in log if r.stream == f"job/{job}" and isinstance(r.event, kind)]
    return found[number].recorded_at


def test_a_log_is_measured_and_rehearsed(dsn: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the optional group `bench` is not installed")
    with small_cell(dsn) as cell:
        left = story(cell)
        path = exported(dsn, cell, tmp_path)
        log = cell.store.read(0, 10_000)
    found = values("simulate", "--trace=log", "--file", path, "--pictures", tmp_path / "out")
    by_dsn = values("simulate", "--trace=log", "--dsn", dsn)
    assert by_dsn == found, "the same log, the same figures"

    done = ("a", "b", "urgent", "waits")
    jct = [when(log, job, e.Succeeded) - when(log, job, e.Queued) for job in done]
    assert found["recorded.jct.mean"] == pytest.approx(sum(jct) / 4 / 10**6)
    wait = when(log, "waits", e.Placed) - when(log, "waits", e.Queued)
    again = when(log, left, e.Placed, 1) - when(log, left, e.Queued)
    assert found["recorded.wait.max"] == pytest.approx(max(wait, again) / 10**6)
    ran = when(log, left, e.AttemptEnded) - when(log, left, e.Placed)
    assert found["recorded.lost"] == pytest.approx(ran * 1000 / 10**6)
    assert found["recorded.preemptions"] == 1
    assert found["planner.preemptions"] <= 1, (
        "who left may have ended before, its last run is short"
    )
    for name in ("recorded", "planner"):
        assert (found[f"{name}.cancelled"], found[f"{name}.unfinished"]) == (1, 0)
        assert 0 < found[f"{name}.utilisation"] < 1
        assert 0 < found[f"{name}.fairness"] <= 1
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_use_is_of_what_there_was_while_nodes_came(dsn: str) -> None:
    with small_cell(dsn) as cell:
        story(cell)
        log = cell.store.read(0, 10_000)
    history = histories(log)[0]["recorded"]
    end = max(stop for _, stop, _ in history.runs)
    begin = when(log, "a", e.Queued)
    used = sum(
        cpus * (when(log, job, e.AttemptEnded, number) - when(log, job, e.Placed, number))
        for job, number, cpus in (
            *((name, n, 1) for name in ("a", "b") for n in range(_attempts(log, name))),
            ("urgent", 0, 1),
            ("waits", 0, 2),
        )
    )
    came = [r.recorded_at for r in log if r.stream.startswith("node/") and r.version == 1]
    there = sum(2 * (end - max(begin, at)) for at in came if at < end)
    assert utilisation(history, 0) == pytest.approx(used / there)
    assert history.queue[0] == (begin, 1)
    assert sum(change for _, change in history.queue) == 0, "all that waited left the queue"


def _attempts(log: list[Recorded], job: str) -> int:
    return sum(r.stream == f"job/{job}" and isinstance(r.event, e.Placed) for r in log)


def test_a_bad_log_is_an_error_that_names_the_place(dsn: str, tmp_path: Path) -> None:
    with small_cell(dsn) as cell:
        story(cell)
        path = exported(dsn, cell, tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    bad = tmp_path / "bad.jsonl"

    def says(content: bytes) -> str:
        bad.write_bytes(content)
        with pytest.raises(SystemExit) as refused:
            read_export(bad)
        return str(refused.value)

    assert "bad.jsonl:1: not an export" in says(b"")
    assert "bad.jsonl:1: not an export" in says(b"job,submitted\n1,2\n")
    assert "breaks off in its heads" in says(lines[0])
    assert f"bad.jsonl:{len(lines)}: the export breaks off in this line" in says(
        b"".join(lines)[:-5]
    )
    assert "events are here" in says(b"".join(lines[:-1]))
    assert "bad.jsonl:4: does not follow position" in says(b"".join([*lines[:3], *lines[4:]]))
    assert "bad.jsonl:4: no event of an export" in says(b"".join([*lines[:3], b"{}\n", *lines[4:]]))
    odd = lines[3].replace(b'"name":"', b'"name":"un')
    assert "bad.jsonl:4: cannot be read" in says(b"".join([*lines[:3], odd, *lines[4:]]))
    with pytest.raises(SystemExit, match="cannot read"):
        read_export(tmp_path / "none.jsonl")


def test_a_log_without_jobs_or_nodes_and_wrong_options_are_errors(dsn: str) -> None:
    with small_cell(dsn) as cell:
        assert read_log(dsn) == []
        with pytest.raises(SystemExit, match="no node"):
            values("simulate", "--trace=log", "--dsn", dsn)
        cell.register("node-1")
        with pytest.raises(SystemExit, match="no job"):
            values("simulate", "--trace=log", "--dsn", dsn)
    for words in (["--trace=log"], ["--trace=log", "--dsn", dsn, "--file", "x"]):
        with pytest.raises(SystemExit, match="one of them"):
            values("simulate", *words)
    with pytest.raises(SystemExit, match="no --engine"):
        values("simulate", "--trace=log", "--dsn", dsn, "--engine=core")
    with pytest.raises(SystemExit, match="needs --file"):
        values("simulate", "--trace=swf")
    with pytest.raises(SystemExit, match="--dsn"):
        read_log("postgresql://nobody@127.0.0.1:1/none")
