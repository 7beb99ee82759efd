"""F17: a machine comes back under its name after a reboot; a clone of a machine is refused."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from domain.allocation.events import Granted
from domain.node.events import Registered
from tests.faults.cell import TTL_MS, RealCell, until
from tests.faults.checks import check_history, check_views
from tests.real_parts import need

TELL_SECONDS = 0.05
TELL = f"while true; do date +%s.%N >> {{file}}-$COMPUTE_ATTEMPT; sleep {TELL_SECONDS}; done"
NODE = "agent-1"
CLONE = f"{NODE}.clone"


def booted(folder: Path) -> tuple[str, ...]:
    """What starts a command in a machine that was just started: the kernel's id of it is new."""
    need(os.geteuid() == 0, "only root can make a mount namespace")
    need(shutil.which("unshare") is not None, "util-linux is not installed")
    boot = folder / f"boot-{uuid.uuid4()}"
    boot.write_text(f"{uuid.uuid4()}\n")
    mount = f"mount --bind {boot} /proc/sys/kernel/random/boot_id"
    return ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")


def lose_power(cell: RealCell) -> None:
    """The node's agent and all that it started are gone at once."""
    marked = {
        process
        for process in psutil.process_iter(["environ"])
        if str(cell.folder / NODE) in (process.info["environ"] or {}).values()
        or str(cell.runs) in " ".join(_words(process))
    }
    cell.kill(NODE)
    for process in marked:
        process.kill()
    psutil.wait_procs(marked, 30)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture
def cell(dsn: str, tmp_path: Path) -> Iterator[RealCell]:
    """A cell whose only node was started once."""
    with closing(RealCell(dsn, tmp_path)) as cell:
        cell.start("api")
        cell.start("projector scheduler timers")
        cell.start(NODE, prefix=booted(tmp_path))
        until(cell.answers, "the API answers")
        yield cell


def lines(file: Path) -> int:
    return len(file.read_text().split()) if file.exists() else 0


@pytest.mark.timeout(300)
def test_f17_a_node_that_was_started_again_runs_the_job_anew(
    cell: RealCell, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    job = cell.submit("long", script=TELL.format(file=told))
    first, second = Path(f"{told}-1"), Path(f"{told}-2")
    until(lambda: lines(first) > 10, "it runs")
    lose_power(cell)
    last = lines(first)
    cell.start(NODE, prefix=booted(tmp_path))  # its folder is as it was left
    until(lambda: lines(second) > 10, "the next attempt runs")
    assert lines(first) == last, "what was lost with the machine is not taken up again"
    cell.post(f"/jobs/{job}/cancel")
    assert cell.ended(job)["phase"] == "cancelled"
    events = check_history(cell.store)
    assert len({e.event.boot for e in events if isinstance(e.event, Registered)}) == 2
    assert len([e for e in events if isinstance(e.event, Granted)]) == 2
    check_views(cell.dsn, cell.store)


@pytest.mark.timeout(300)
def test_f17_a_clone_is_refused_and_disturbs_nothing(cell: RealCell, tmp_path: Path) -> None:
    told = tmp_path / "told"
    job = cell.submit("long", script=TELL.format(file=told))
    first = Path(f"{told}-1")
    until(lambda: lines(first) > 10, "it runs")
    cell.start(CLONE, prefix=booted(tmp_path))
    log = tmp_path / f"{CLONE}.log"
    until(lambda: "another boot holds the node" in log.read_text(), "the clone is refused")
    enough = lines(first) + TTL_MS / 1000 / TELL_SECONDS * 1.2
    until(lambda: lines(first) > enough, "the job goes on for longer than a lease")
    assert "registered as" not in log.read_text()
    assert cell.counted('compute_refusals_total{code="node_taken"}') > 1, "alerting can see it"
    cell.kill(NODE)
    until(lambda: "registered as" in log.read_text(), "it may once nobody holds the node")
    second = Path(f"{told}-2")
    until(lambda: lines(second) > 10, "the next attempt runs")
    cell.post(f"/jobs/{job}/cancel")
    assert cell.ended(job)["phase"] == "cancelled"
    check_history(cell.store)
    check_views(cell.dsn, cell.store)
