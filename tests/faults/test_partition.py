"""F15: an agent in a network namespace is cut off; its job ends before another attempt begins."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.allocation.events import Granted
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_history, check_views
from tests.real_parts import need

HERE, THERE = "10.213.7.1", "10.213.7.2"
_numbers = itertools.count(1)
TELL = "while true; do date +'%s.%N' >> {file}-$COMPUTE_ATTEMPT; sleep 0.05; done"

CHAINS = {"both ways": "", "to the cell": "OUTPUT", "from the cell": "INPUT"}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Space:
    """A network namespace with a link to here."""

    def __init__(self) -> None:
        number = f"{os.getpid()}{next(_numbers)}"
        self.name, self.outside, self._inside = f"cut{number}", f"o{number}", f"i{number}"
        ip("netns", "add", self.name)
        ip("link", "add", self.outside, "type", "veth", "peer", "name", self._inside)
        ip("link", "set", self._inside, "netns", self.name)
        ip("addr", "add", f"{HERE}/24", "dev", self.outside)
        ip("link", "set", self.outside, "up")
        self.run("ip", "addr", "add", f"{THERE}/24", "dev", self._inside)
        self.run("ip", "link", "set", self._inside, "up")

    def run(self, *words: str) -> None:
        """A command inside."""
        ip("netns", "exec", self.name, *words)

    def cut(self, way: str) -> None:
        """Let nothing pass that way."""
        if CHAINS[way]:
            self.run("iptables", "-A", CHAINS[way], "-j", "DROP")
        else:
            ip("link", "set", self.outside, "down")

    def close(self) -> None:
        ip("link", "del", self.outside)
        ip("netns", "del", self.name)


@pytest.fixture
def space() -> Iterator[Space]:
    """A namespace for one test."""
    need(os.geteuid() == 0, "only root can make network namespaces")
    need(shutil.which("ip") is not None, "iproute2 is not installed")
    need(shutil.which("iptables") is not None, "iptables is not installed")
    with closing(Space()) as space:
        yield space


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", CHAINS)
def test_f15_no_two_attempts_at_once(space: Space, dsn: str, tmp_path: Path, way: str) -> None:
    with closing(RealCell(dsn, tmp_path, HERE)) as cell:
        cell.start("api")
        cell.start("projector scheduler timers")
        cell.start("agent-1", prefix=("ip", "netns", "exec", space.name))
        until(cell.answers, "the API answers")
        file = tmp_path / "alive"
        job = cell.submit("lonely", script=TELL.format(file=file))
        until(lambda: cell.job(job).get("phase") == "running", "it runs")
        cell.start("agent-2")
        space.cut(way)
        second = Path(f"{file}-2")
        until(lambda: second.exists() and second.read_text(), "the next attempt runs")
        before = [float(line) for line in Path(f"{file}-1").read_text().split()]
        after = [float(line) for line in second.read_text().split()]
        assert before[-1] < after[0], "the old attempt was stopped before the new one began"
        granted = [r.event for r in check_history(cell.store) if isinstance(r.event, Granted)]
        nodes = {seat.node for grant in granted for seat in grant.seats}
        assert nodes == {"node-1", "node-2"}
        check_views(cell.dsn, cell.store)
        last = len(Path(f"{file}-1").read_text())
        until(lambda: len(second.read_text()) > 1000, "it goes on")
        assert len(Path(f"{file}-1").read_text()) == last
        _cancel(cell, job)


def _cancel(cell: RealCell, job: str) -> None:
    """Leave nothing running."""
    cell.post(f"/jobs/{job}/cancel")
    assert cell.ended(job)["phase"] == "cancelled"
