"""The peers run what they are given, and one that is missing is said plainly."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.contest import Contestant, Runs, Submits, present
from bench.hq import HYPERQUEUE
from bench.raw import FORK_EXEC
from bench.slurm import SLURM
from tests.real_parts import need


def test_a_missing_peer_is_left_out_and_said_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMPUTE_BENCH_HYPERQUEUE", "/nowhere/python")
    contestants: list[Contestant[Runs]] = [FORK_EXEC, HYPERQUEUE]
    assert present(contestants) == [FORK_EXEC]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("not measured: hyperqueue: /nowhere/python")


@pytest.mark.parametrize("peer", [FORK_EXEC, SLURM, HYPERQUEUE], ids=lambda peer: peer.name)
def test_every_job_of_a_peer_is_run(peer: Contestant[Runs], tmp_path: Path) -> None:
    need(not peer.missing(), peer.missing())
    with peer.running(tmp_path) as target:
        assert target.batch(3) > 0
        assert target.singles(3) > 0
        assert len(target.starts(2)) == 2


@pytest.mark.parametrize("peer", [SLURM, HYPERQUEUE], ids=lambda peer: peer.name)
def test_a_peer_takes_jobs_that_do_not_start(peer: Contestant[Submits], tmp_path: Path) -> None:
    need(not peer.missing(), peer.missing())
    with peer.running(tmp_path) as target:
        assert target.submit(4) > 0
