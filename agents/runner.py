"""Runners: ways to run a seat. One port, one behaviour, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from agents.seats import SeatFolder
from agents.wire import SeatKey
from domain.values.mig import Slot

LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"
ENDED_CODE_UNKNOWN = "it ended, but its exit code was not recorded"


class StartFailed(Exception):
    """The seat never ran; the message says why, for the person who submitted it."""


class NotYet(Exception):
    """What stands behind the runner does not answer: nothing was begun, it may be asked again."""


@dataclass(frozen=True)
class Gpu:
    """One GPU of this node, or a MIG instance of one. `nodes` are its device files; a fake one has
    none. An instance lies at its `slot` of the GPU `parent`, and is `uuid` for CUDA and Docker.
    """

    id: str
    model: str
    memory_bytes: int
    nodes: tuple[Path, ...] = ()
    index: int = 0
    fake: bool = False
    parent: str = ""
    slot: Slot | None = None
    uuid: str = ""

    @property
    def visible(self) -> str:
        """The name that CUDA and Docker know it by."""
        return self.uuid or self.id


@dataclass(frozen=True)
class SeatSpec:
    """What a runner needs to run one seat. A limit of 0 is no limit.

    `environment` is what the job was given; the runner adds what only it can know: PATH, HOME,
    LANG, PWD where they are missing, and COMPUTE_CHECKPOINT_DIR.
    """

    key: SeatKey
    node: str
    folder: SeatFolder
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    cpu_milli: int = 0
    memory_bytes: int = 0
    pids: int = 4096
    tmp_bytes: int = 2**30
    log_bytes: int = 64 * 2**20
    gpus: tuple[Gpu, ...] = ()


class Found(StrEnum):
    """What became of a seat while no agent watched."""

    RUNNING = "running"
    ENDED = "ended"
    NEVER_STARTED = "never started"
    LOST = "lost"


@dataclass(frozen=True)
class Result:
    """How a seat ended. `failed_start` says why it never ran, `lost` why `code` is not known."""

    code: int | None = None
    out_of_memory: bool = False
    failed_start: str = ""
    lost: str = ENDED_CODE_UNKNOWN


@dataclass(frozen=True)
class Usage:
    """CPU time so far in microseconds, and resident bytes now."""

    cpu_us: int
    memory_bytes: int


OnExit = Callable[[SeatKey], None]


class Runner(Protocol):
    """Runs seats. Methods may be called from any thread, and never block on a job.

    A seat goes on when its agent dies: `adopt` finds it again. `on_exit`, given to the
    constructor, is called once for each seat that ends after `start` or `adopt` found it
    running; by then no process of it is left and its log is whole.
    """

    @property
    def name(self) -> str:
        """docker, sandbox or process: what is reported of a started seat."""
        ...

    def prepare(self, spec: SeatSpec) -> None:
        """What of a start can take long (fetching the image); StartFailed if it fails.

        NotYet if it cannot be told now."""
        ...

    def start(self, spec: SeatSpec) -> None:
        """Run the seat at once; StartFailed if it cannot."""
        ...

    def adopt(self, spec: SeatSpec) -> Found:
        """Take over a seat that an agent before this one started, or meant to start."""
        ...

    def signal(self, key: SeatKey, number: int, *, only_if_caught: bool = False) -> bool:
        """Signal the job's main process; False if it was not sent."""
        ...

    def kill(self, key: SeatKey) -> None:
        """End every process of the seat at once."""
        ...

    def result(self, key: SeatKey) -> Result:
        """How it ended; only after it did."""
        ...

    def usage(self, key: SeatKey) -> Usage | None:
        """What it uses now; None if that is not known."""
        ...

    def release(self, key: SeatKey) -> None:
        """Let go of what an ended seat still holds (control groups, its container)."""
        ...

    def close(self) -> None:
        """Stop watching. Seats go on running."""
        ...
