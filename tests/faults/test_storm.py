"""F19: waves of urgent jobs push the others out while the agent is killed; each lives once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from domain.job.events import PreemptionRequested
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_history, check_views

CPUS = 4
"""The only node's, and so many jobs of one each that are pushed out."""
WAVES = 5
STEPS = 300
PUSHED_OUT = """
mkdir {home}/alive || echo twice >> {home}/faults
leave() {{ sleep 0.4; echo $step > {home}/step; rmdir {home}/alive; }}
trap 'leave; exit 1' TERM
step=$(cat {home}/step || echo 0)
while [ $step -lt {steps} ]; do sleep 0.05; step=$((step + 1)); done
leave
"""
"""Has a folder while it lives, and takes its time to save how far it came when it must leave.

Where it is killed without that time, or lives twice, the folder is there when another begins.
"""


@pytest.mark.timeout(400)
def test_f19_who_is_pushed_out_has_its_grace_and_lives_once(dsn: str, tmp_path: Path) -> None:
    one = {"cpu": "1", "memory": "64Mi"}
    with closing(RealCell(dsn, tmp_path)) as cell:
        for name in ("api", "projector scheduler timers", "agent-1"):
            cell.start(name)
        until(cell.answers, "the API answers")
        homes = [tmp_path / f"home-{number}" for number in range(CPUS)]
        for home in homes:
            home.mkdir()
        jobs = [
            cell.submit(
                f"low-{number}", resources=one, grace_seconds=30,
                script=PUSHED_OUT.format(home=home, steps=STEPS),
            )
            for number, home in enumerate(homes)
        ]  # fmt: skip
        until(lambda: all((home / "alive").exists() for home in homes), "they all run")
        urgent = []
        for wave in range(WAVES):
            first = cell.submit(f"urgent-{wave}", resources=one, priority=500)
            urgent += [first, cell.submit(f"more-{wave}", resources=one, priority=400)]
            until(lambda: pushed(cell, jobs), "somebody is asked to leave")
            cell.kill("agent-1")
            cell.start("agent-1")
            assert all(cell.ended(job)["phase"] == "succeeded" for job in urgent)
        for job in jobs:
            assert cell.ended(job)["phase"] == "succeeded"
        assert [home for home in homes if (home / "faults").exists()] == []
        assert [(home / "step").read_text().strip() for home in homes] == [str(STEPS)] * CPUS
        events = check_history(cell.store)
        asked = [e for e in events if isinstance(e.event, PreemptionRequested)]
        assert len(asked) >= WAVES, "it was a storm"
        check_views(cell.dsn, cell.store)


def pushed(cell: RealCell, jobs: list[str]) -> bool:
    """Whether one of them was asked to leave."""
    return any(cell.job(job).get("phase") == "preempting" for job in jobs)
