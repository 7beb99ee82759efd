"""F19: a job moves between nodes while every part is killed at each step; it lives in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.checkpoint.events import Committed, Restored
from domain.event import Recorded
from domain.job.events import GraceExpired, MigrationRequested, PreemptionRequested, StopCause
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_history, check_views

LEASE_MS = 60_000
"""No process is away for as long, however slowly it starts."""
PROCESSORS = "projector scheduler timers"
MOVES = """
mkdir {home}/alive || echo twice >> {home}/faults
step=$(cat $COMPUTE_CHECKPOINT_DIR/step || echo 0)
[ $step = $(cat {home}/saved || echo 0) ] || echo lost >> {home}/faults
leave() {{
  sleep 0.5
  echo $step > $COMPUTE_CHECKPOINT_DIR/new
  mv $COMPUTE_CHECKPOINT_DIR/new $COMPUTE_CHECKPOINT_DIR/step
  echo $step > {home}/saved; rmdir {home}/alive
  exit 143
}}
trap leave TERM
echo $COMPUTE_NODE >> {home}/nodes
while [ ! -e {home}/finish ]; do sleep 0.05; step=$((step + 1)); done
rmdir {home}/alive
"""
"""Has a folder while it lives, takes its time to save, and goes on from where it was saved.

Where it is killed without that time, lives twice, or begins before what it saved, it writes that
down.
"""


class Mover:
    """A job that runs on one of two nodes, and is moved from one to the other."""

    def __init__(self, cell: RealCell, home: Path) -> None:
        self.cell, self.home = cell, home
        home.mkdir()
        self.job = cell.submit(
            "mover", resources={"cpu": "3", "memory": "64Mi"}, grace_seconds=30,
            checkpointing={"enable_checkpointing": True, "checkpoint_interval_seconds": 3600},
            script=MOVES.format(home=home),
        )  # fmt: skip
        self.moves = 0
        self.settled()

    def phase(self) -> str:
        return str(self.cell.job(self.job).get("phase"))

    def settled(self) -> str:
        """The node it runs on, once it does, as the job itself wrote down."""
        until(lambda: self.phase() == "running", "it runs")
        lines = until(lambda: len(lines) > self.moves and lines
                      if (lines := self.ran()) else None, "it wrote down where")  # fmt: skip
        assert self.cell.job(self.job)["nodes"] == [lines[-1]]
        return str(lines[-1])

    def ran(self) -> list[str]:
        file = self.home / "nodes"
        return file.read_text().split() if file.exists() else []

    def other(self) -> str:
        """The node it does not run on."""
        return {"node-1": "node-2", "node-2": "node-1"}[self.ran()[-1]]

    def asked(self) -> bool:
        """Ask for the move, under the same key for the same move; whether that was answered."""
        answer = self.cell.ask_to_move(self.job, self.other(), f"move-{self.moves}")
        return answer is not None and answer.status_code == 202

    def leaves(self) -> None:
        """Wait until it was asked to leave and still saves."""
        until(lambda: self.phase() == "preempting", "it is asked to leave")

    def has_left(self) -> None:
        until(lambda: not (self.home / "alive").exists(), "it left")


def agent_of(node: str) -> str:
    return node.replace("node", "agent")


def killed_at(cell: RealCell, process: str, failpoint: str) -> None:
    """Start the process, see it killed there, and start it again."""
    cell.kill(process)
    cell.start(process, failpoint=failpoint)
    until(lambda: cell.died_there(process), f"{failpoint} is reached")
    cell.start(process)


def requested(mover: Mover) -> None:
    """The API dies between recording the request and its answer, and is asked again."""
    cell = mover.cell
    cell.kill("api")
    cell.start("api", failpoint="api.command.recorded")
    until(lambda: not mover.asked() and cell.died_there("api"), "the request is recorded")
    cell.start("api")
    until(mover.asked, "it is answered again")


def room_found(mover: Mover) -> None:
    """The scheduler dies before it records that it found room, and after."""
    mover.cell.kill(PROCESSORS)
    until(mover.asked, "asked")
    killed_at(mover.cell, PROCESSORS, "scheduler.planned")
    killed_at_next(mover, "scheduler.recorded")


def killed_at_next(mover: Mover, failpoint: str) -> None:
    """The scheduler, which may have come past there already, is killed there where it has not."""
    mover.cell.kill(PROCESSORS)
    mover.cell.start(PROCESSORS, failpoint=failpoint)
    moved = mover.moves + 1
    until(
        lambda: mover.cell.died_there(PROCESSORS) or len(mover.ran()) > moved,
        f"{failpoint} is reached, or the move is over",
    )
    mover.cell.kill(PROCESSORS)
    mover.cell.start(PROCESSORS)


def saving(mover: Mover) -> None:
    """The agent of the node it leaves dies while it saves."""
    old = agent_of(mover.ran()[-1])
    until(mover.asked, "asked")
    mover.leaves()
    mover.cell.kill(old)
    mover.cell.start(old)


def left(mover: Mover) -> None:
    """The agent of the node it left dies before it tells that, and after."""
    old = agent_of(mover.ran()[-1])
    mover.cell.kill(old)
    mover.cell.start(old, failpoint="agent.end_kept")
    until(mover.asked, "asked")
    until(lambda: mover.cell.died_there(old), "it left")
    killed_at(mover.cell, old, "agent.end_told")


def concluded(mover: Mover) -> None:
    """The scheduler dies when it concluded that it left, and when it placed it anew."""
    until(mover.asked, "asked")
    mover.leaves()
    mover.cell.kill(PROCESSORS)
    mover.has_left()
    killed_at(mover.cell, PROCESSORS, "scheduler.concluded")
    killed_at_next(mover, "scheduler.planned")
    killed_at_next(mover, "scheduler.recorded")


def _new_agent(mover: Mover, failpoint: str) -> None:
    new = agent_of(mover.other())
    mover.cell.kill(new)
    mover.cell.start(new, failpoint=failpoint)
    until(mover.asked, "asked")
    until(lambda: mover.cell.died_there(new), f"{failpoint} is reached")
    mover.cell.start(new)


def ordered(mover: Mover) -> None:
    """The agent of the new node dies when it got the order."""
    _new_agent(mover, "agent.ordered")


def restored(mover: Mover) -> None:
    """The agent of the new node dies when the files are there and nothing runs yet."""
    _new_agent(mover, "agent.seat_made")


def launched(mover: Mover) -> None:
    """The agent of the new node dies just when it runs there."""
    _new_agent(mover, "agent.launched")


STEPS: tuple[Callable[[Mover], None], ...] = (
    requested, room_found, saving, left, concluded, ordered, restored, launched,
)  # fmt: skip


@pytest.fixture
def cell(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealCell]:
    """Two nodes that share a folder for checkpoints."""
    monkeypatch.setenv("COMPUTE_AGENT_OBJECTS", str(tmp_path / "objects"))
    with closing(RealCell(dsn, tmp_path)) as cell:
        cell.ttl_ms = LEASE_MS
        for name in ("api", PROCESSORS, "agent-1", "agent-2"):
            cell.start(name)
        until(cell.answers, "the API answers")
        yield cell


@pytest.mark.timeout(400)
def test_f19_a_job_that_moves_lives_once_whatever_is_killed(cell: RealCell, tmp_path: Path) -> None:
    mover = Mover(cell, tmp_path / "home")
    for step in STEPS:
        to = mover.other()
        step(mover)
        mover.moves += 1
        assert mover.settled() == to, step.__name__
        assert not (mover.home / "faults").exists(), step.__name__
    (mover.home / "finish").touch()
    assert cell.ended(mover.job)["phase"] == "succeeded"
    assert len(mover.ran()) == len(STEPS) + 1
    attempts = cell.attempts_run("mover")
    assert attempts == [str(number + 1) for number in range(len(STEPS) + 1)]
    assert not (mover.home / "faults").exists()
    events = check_history(cell.store)
    asked = [e.event for e in events if isinstance(e.event, MigrationRequested)]
    moved = [e.event for e in events if isinstance(e.event, PreemptionRequested)]
    assert len(asked) == len(moved) == len(STEPS)
    assert {event.cause for event in moved} == {StopCause.MIGRATION}
    assert not any(isinstance(e.event, GraceExpired) for e in events)
    assert restores(events) == len(STEPS)
    check_views(cell.dsn, cell.store)


def restores(events: list[Recorded]) -> int:
    """How often it went on, each time from what it had committed last."""
    committed, found = "", 0
    for recorded in events:
        if isinstance(recorded.event, Committed):
            committed = recorded.event.manifest.digest
        elif isinstance(recorded.event, Restored):
            assert recorded.event.digest == committed
            found += 1
    return found
