"""F14: each process's clock jumps by an hour, ahead and back; nothing that is decided moves."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from domain.allocation.events import Granted
from tests.faults.cell import TTL_MS, RealCell, until
from tests.faults.checks import check_history, check_views
from tests.real_parts import need

HOUR = 3600
MINUTE_US = 60_000_000
JUMPS = ((HOUR, -HOUR, HOUR), (-HOUR, HOUR, -HOUR), (0, 0, HOUR))
"""How far ahead the clocks of API, processors and agent are, one after the other."""
TELL_SECONDS = 0.05
SCRIPT = (
    "trap 'sleep 1; echo saved >> {file}; exit 0' TERM;"
    " while true; do echo alive >> {file}; sleep " + str(TELL_SECONDS) + "; done"
)


class Clock:
    """The wall clock of a process that is started with `prefix`.

    A library of ours: libfaketime 0.9.10 fails short sleeps where it leaves the steady clock alone.
    """

    def __init__(self, folder: Path) -> None:
        need(shutil.which("cc") is not None, "no C compiler is installed")
        folder.mkdir(exist_ok=True)
        library = folder / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file = folder / "ahead"
        self._file.write_bytes(bytes(8))
        self.prefix = ("env", f"LD_PRELOAD={library}", f"WALL_CLOCK={self._file}")

    def set(self, seconds: int) -> None:
        """Let it be so far ahead of, or behind, the true time."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@pytest.mark.timeout(300)
def test_f14_clocks_that_jump_end_no_lease_limit_or_grace(dsn: str, tmp_path: Path) -> None:
    clocks = [Clock(tmp_path / f"clock-{number}") for number in range(3)]
    with closing(RealCell(dsn, tmp_path)) as cell:
        for name, clock in zip(
            ("api", "projector scheduler timers", "agent-1"), clocks, strict=True
        ):
            cell.start(name, prefix=clock.prefix)
        until(cell.answers, "the API answers")
        file = tmp_path / "told"
        long = cell.submit(
            "long", script=SCRIPT.format(file=file), time_limit_seconds=HOUR // 2, grace_seconds=30
        )
        until(lambda: cell.job(long).get("phase") == "running", "it runs")
        for number, jumps in enumerate(JUMPS):
            for clock, ahead in zip(clocks, jumps, strict=True):
                clock.set(ahead)
            short = cell.submit(f"short-{number}", time_limit_seconds=HOUR // 2)
            assert cell.ended(short)["phase"] == "succeeded"
            wait_for_a_lease(file)
        assert cell.job(long)["phase"] == "running"
        cell.post(f"/jobs/{long}/cancel")
        assert cell.ended(long)["phase"] == "cancelled"
        assert file.read_text().split()[-1] == "saved", "it had its grace"
        events = check_history(cell.store)
        granted = [item for item in events if isinstance(item.event, Granted)]
        assert len(granted) == 1 + len(JUMPS), "one attempt each"
        for earlier, later in pairwise(events):
            assert earlier.recorded_at <= later.recorded_at, "the store's clock, not theirs"
        assert abs(events[-1].recorded_at - cell.store.now()) < MINUTE_US
        check_views(cell.dsn, cell.store)


def test_the_clock_is_that_of_the_process(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    for ahead in (HOUR, -HOUR):
        clock.set(ahead)
        code = "import time; print(time.time(), time.monotonic())"
        said = subprocess.run(
            [*clock.prefix, sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        wall, steady = map(float, said.stdout.split())
        assert wall == pytest.approx(time.time() + ahead, abs=60)
        assert steady == pytest.approx(time.monotonic(), abs=60)


def wait_for_a_lease(file: Path) -> None:
    """Until a job that tells that it lives has done so for longer than a lease lasts."""
    enough = len(file.read_text().split()) + TTL_MS / 1000 / TELL_SECONDS * 1.2
    until(lambda: len(file.read_text().split()) >= enough, "it goes on")
