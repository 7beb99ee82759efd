"""The batch benchmarks on small files made by hand, against figures worked out by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.catalogue import load
from bench.figures import jain, percentile, slowdown
from bench.gangs import GangEngine, fit
from bench.pictures import steps
from bench.pool import PoolEngine
from bench.simulator import History, simulate
from bench.trace import TraceJob, read_openb, read_philly, read_swf

DATA = Path(__file__).parent / "data"
SWF, PHILLY = DATA / "small.swf", DATA / "philly.csv"
PODS, NODES = DATA / "pods.csv", DATA / "nodes.csv"


def values(bench: str, *words: str | Path | int) -> dict[str, float]:
    parser = argparse.ArgumentParser()
    module = load(bench)
    module.options(parser)
    return {row.name: row.value for row in module.run(parser.parse_args([str(w) for w in words]))}


def started(order: str, backfill: str) -> list[int]:
    engine = PoolEngine((4,), order, backfill, committed=backfill in ("none", "reference"))
    history = simulate(read_swf(SWF), engine, singly=engine.committed)
    return [history.starts[job] for job in sorted(history.starts)]


@pytest.mark.parametrize(
    ("order", "backfill", "starts"),
    [
        ("fcfs", "none", [0, 10, 30, 30]),
        ("fcfs", "reference", [0, 10, 30, 3]),  # job 3 would end exactly at the shadow time
        ("fcfs", "easy", [0, 10, 2, 30]),  # job 3 may end exactly then, and then 4 may not fit
        ("sjf", "easy", [0, 15, 2, 10]),
        ("fcfs", "conservative", [0, 10, 2, 30]),
    ],
)
def test_starts_by_hand(order: str, backfill: str, starts: list[int]) -> None:
    assert started(order, backfill) == starts


def test_the_swf_bench_gives_the_figures_worked_out_by_hand() -> None:
    found = values(
        "swf", "--file", SWF, "--processors", 4, "--length", 4, "--order=fcfs", "--backfill=none"
    )
    waits, runs = [0, 9, 28, 27], [10, 20, 8, 5]
    expected = sum(max(1, (w + r) / max(r, 10)) for w, r in zip(waits, runs, strict=True)) / 4
    assert found["fcfs.none.slowdown"] == found["fcfs.none.0.slowdown"] == expected
    assert found["fcfs.none.wait.max"] == 28
    assert found["fcfs.none.utilisation"] == (20 + 80 + 16 + 5) / (38 * 4)


def test_gangs_are_whole_and_the_held_nodes_are_back_in_time() -> None:
    jobs = read_philly(PHILLY)
    start = jobs[0].submitted
    history = simulate(jobs, GangEngine(2, "fcfs", fill=False))
    assert [history.starts[job.name] - start for job in jobs] == [0, 100, 150, 150]
    history = simulate(jobs, GangEngine(2, "fcfs", fill=True))
    assert [history.starts[job.name] - start for job in jobs] == [0, 100, 20, 150]
    history = simulate(jobs, GangEngine(2, "default", fill=True, bounded=True))
    assert [history.starts[job.name] - start for job in jobs] == [0, 100, 20, 150]


def test_the_philly_bench_compares_with_fifo() -> None:
    found = values("philly", "--file", PHILLY, "--nodes", 2)
    assert found["fifo.wait.max"] == 130
    assert found["fifo.jct.mean"] == (100 + 140 + 210 + 620) / 4
    assert found["default.jct.mean"] == (100 + 140 + 80 + 620) / 4
    assert found["default.wait.max"] <= found["fifo.wait.max"]


@pytest.mark.parametrize(
    ("free", "gpus", "seats"),
    [
        ([8, 3, 2], 2, {2: 2}),
        ([8, 3, 2], 3, {1: 3}),
        ([8, 8, 4], 12, {0: 8, 2: 4}),
        ([8, 7, 4], 16, None),
        ([1, 1, 1], 2, None),
    ],
)
def test_a_gang_takes_the_tightest_fit(
    free: list[int], gpus: int, seats: dict[int, int] | None
) -> None:
    assert fit(free, gpus, 8) == seats


def test_both_engines_run_a_trace_to_its_end_and_draw_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the optional group `bench` is not installed")
    common = ("--trace=philly", "--file", PHILLY, "--nodes", 2, "--engine=both")
    found = values("simulate", *common, "--pictures", tmp_path / "out")
    assert (found["core.unfinished"], found["planner.unfinished"]) == (0, 0)
    assert found["planner.wait.max"] >= 0
    for name in ("core", "planner"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_planner_runs_openb_and_swf_by_hand() -> None:
    files: tuple[str | Path, ...] = (
        "--trace=openb",
        "--file",
        PODS,
        "--inventory",
        NODES,
        "--engine=planner",
    )
    found = values("simulate", *files)  # pod-4 is larger than any node and left out
    assert found["planner.unfinished"] == 0
    assert found["planner.wait.max"] == 90  # pod-2 waits for both GPUs
    files = ("--trace=swf", "--file", SWF, "--engine=both")
    found = values("simulate", *files, "--nodes", 2, "--per-node", 2)
    assert found["planner.wait.max"] == 27  # job 2 starts at 10 and takes all; job 4 after it
    assert found["core.slowdown"] > 0


def test_a_preempted_job_loses_its_work_and_runs_anew() -> None:
    class Stops(PoolEngine):
        def decide(self, now: int):  # type: ignore[no-untyped-def]
            found = list(super().decide(now))
            if now == 3:
                job = next(job for job in two if job.name == "a")
                del self.running["a"]
                self.arrive(job)
                return [*found, (job, "stop")]
            return found

    two = [TraceJob("a", 0, 10, 10, (2,), 2), TraceJob("b", 3, 5, 5, (1,), 1)]
    history = simulate(two, Stops((3,), "fcfs", "easy"))
    assert (history.preemptions, history.lost) == (1, 6)
    assert history.starts["a"] == 8
    assert history.ends["a"] == 18


def test_figures_by_hand() -> None:
    assert percentile([5, 1, 3, 2, 4], 50) == 3
    assert percentile(list(range(1, 101)), 99) == 99
    assert [slowdown(0, 1), slowdown(5, 5), slowdown(10, 20)] == [1, 1, 1.5]
    assert jain([1, 1, 1]) == 1
    assert jain([1, 0]) == 0.5
    assert steps([(5, -2), (0, 2), (0, 1)]) == ([0, 5], [3, 1])
    assert History([]).waits == []


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_swf, "1 2 three\n", ":1: not a line of 18 numbers"),
        (read_swf, "1 -5 0 1 1 0 0 1 1 0 0 1\n", ":1: submitted and processors"),
        (read_swf, "1 nan 0 1 1 0 0 1 1 0 0 1\n", ":1: not a line"),
        (read_philly, "timestamp,duration\n", "no column num_gpus, cluster"),
        (read_philly, "timestamp,duration,num_gpus,cluster\nx,1,1,a\n", ":2: "),
        (read_philly, "timestamp,duration,num_gpus,cluster\n2017-01-01,inf,1,a\n", ":2: "),
        (read_openb, "name\n", "no column cpu_milli"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(  # type: ignore[no-untyped-def]
    read, text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(SystemExit, match=says):
        read(path)


def test_a_file_that_is_missing_and_a_window_past_the_end_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot read"):
        read_swf(tmp_path / "none")
    with pytest.raises(SystemExit, match="window 2"):
        values("swf", "--file", SWF, "--processors", 4, "--windows", "2", "--length", 4)
    with pytest.raises(SystemExit, match="asks for"):
        values("swf", "--file", SWF, "--processors", 3, "--length", 4)
