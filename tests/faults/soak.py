"""`python -m tests.faults.soak --seconds N --seed S`: random kills under load, then all must hold.

F24, and F07 with it: the database is among what is killed. In the second half only the database
is, and what the other processes hold is measured whenever no job is under way. Prints what was
killed and what is held; exit status 1 and a trace where something does not hold or only grows.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil

from domain.job.events import Submitted
from infra.migrations import migrate
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_history, check_views
from tests.faults.postgres import Server
from tests.faults.resources import Resources

PROCESSORS = "projector scheduler timers"
NAMES = ("api", PROCESSORS, "agent", "postgres")
SAMPLES = 12
"""At least so many, in however short a run."""
BATCH = 8


class Soak:
    """A cell under load, of which something is killed every now and then."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.chmod(0o755)  # the database's user passes here
        self.server = Server(folder / "pg" / "data")
        self.server.data.parent.mkdir()
        self.server.make()
        self.server.start()
        migrate(self.server.dsn)
        (folder / "cell").mkdir()
        self.cell = RealCell(self.server.dsn, folder / "cell")
        self.random = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.jobs: dict[str, str] = {}
        self.resources = Resources()

    def close(self) -> None:
        self.cell.close()
        self.server.stop()

    def run(self, seconds: float) -> None:
        """Load and kills for so long, then quiet until every job has ended."""
        for name in NAMES[:3]:
            self.cell.start(name)
        until(self.cell.answers, "the API answers")
        begin = time.monotonic()
        half = begin + seconds / 2
        while time.monotonic() < half or not all(self.killed[name] for name in NAMES):
            for _ in range(self.random.randrange(1, 4)):
                self.submit()
            self.kill(self.random.choice(NAMES))
        while time.monotonic() < begin + seconds or len(self.resources.jobs) < SAMPLES:
            self.hold()
        self.check()

    def hold(self) -> None:
        """Some jobs from submission to end, perhaps without a database for a while; a sample."""
        batch = [self.submit() for _ in range(BATCH)]
        if self.random.randrange(4) == 0:
            self.kill("postgres")
        for job in batch:
            self.cell.ended(job)
        pids = {name: process.pid for name, process in self.cell.processes.items()}
        self.resources.take(len(self.jobs), pids, self.server.dsn)

    def check(self) -> None:
        """Wait until every job has ended; everything must hold."""
        for name, job in self.jobs.items():
            ended = self.cell.ended(job)
            assert ended["phase"] == "succeeded", ended
            ran = self.cell.attempts_run(name)
            assert ran, f"{name} never ran"
            assert len(set(ran)) == len(ran), f"an attempt of {name} ran twice"
        events = check_history(self.cell.store)
        names = Counter(r.event.spec.name for r in events if isinstance(r.event, Submitted))
        assert names == Counter(list(self.jobs)), "acknowledged and submitted are the same"
        check_views(self.server.dsn, self.cell.store)
        self.resources.check()

    def submit(self) -> str:
        """One more job; its id."""
        name = f"job-{len(self.jobs)}"
        script = f"sleep {self.random.choice((0, 0.1, 1))}"
        self.jobs[name] = self.cell.submit(name, script=script)
        return self.jobs[name]

    def kill(self, name: str) -> None:
        """kill -9, and up again."""
        self.killed[name] += 1
        if name != "postgres":
            self.cell.kill(name)
            self.cell.start(name)
            return
        postmaster = psutil.Process(self.server.pid())
        everybody = [postmaster, *postmaster.children()]
        os.kill(postmaster.pid, signal.SIGKILL)
        psutil.wait_procs(everybody, timeout=60)
        self.server.start()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    with (
        tempfile.TemporaryDirectory(prefix="compute-soak-") as folder,
        closing(Soak(Path(folder), given.seed)) as soak,
    ):
        soak.run(given.seconds)
        killed = ", ".join(f"{name} {times}" for name, times in sorted(soak.killed.items()))
        print(f"{len(soak.jobs)} jobs, 0 lost, 0 twice; killed: {killed}")
        print("\n".join(soak.resources.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
