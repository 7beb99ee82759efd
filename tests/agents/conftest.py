"""Runners of every kind that this machine has, each ready to run seats."""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from agents import choose, settings
from agents.namespaces import NamespacesLauncher
from agents.runner import Result, Runner, SeatSpec
from agents.seats import SeatFolder, SeatStore
from agents.wire import SeatKey
from demo.image import docker_answers
from tests.real_docker import IMAGE, load_busybox, no_busybox
from tests.real_parts import need

END_SECONDS = 20


@dataclass
class Bench:
    """A runner under test, and a way to make seats for it."""

    runner: Runner
    again: Callable[[], Runner]
    store: SeatStore
    exits: queue.SimpleQueue[SeatKey]
    image: str | None
    keys: list[SeatKey] = field(default_factory=list)

    def spec(self, script: str, **options: object) -> SeatSpec:
        """A seat that runs a shell script."""
        key = SeatKey(f"alloc-{uuid4().hex[:12]}", 0)
        self.keys.append(key)
        folder = SeatFolder(self.store.folder(key).path)
        folder.path.mkdir(mode=0o700)
        command = ("/bin/sh", "-c", script)
        return SeatSpec(key, "node-1", folder, command, image=self.image, **options)  # type: ignore[arg-type]  # passed through

    def ended(self, spec: SeatSpec) -> Result:
        """How the seat ended, once it has."""
        assert self.exits.get(timeout=END_SECONDS) == spec.key
        return self.runner.result(spec.key)


@pytest.fixture(scope="session")
def busybox() -> Iterator[docker.DockerClient]:
    """A Docker engine with an image of busybox, made of this machine's own."""
    need(docker_answers(), "no Docker engine answers")
    need(not no_busybox(), no_busybox())
    with closing(docker.from_env(timeout=30)) as client:
        load_busybox(client)
        yield client


@pytest.fixture(params=["docker", "sandbox", "namespaces", "process"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Each runner in turn."""
    kind: str = request.param
    if kind == "docker":
        request.getfixturevalue("busybox")
    data = Path(tempfile.mkdtemp(prefix="compute-agent-")) / "agent"
    data.mkdir()
    if kind == "namespaces":  # as on a machine without bubblewrap
        monkeypatch.setattr(choose, "BubblewrapLauncher", NamespacesLauncher)
        kind = "sandbox"
    elif kind == "sandbox":
        need(shutil.which("bwrap") is not None, "bubblewrap is not installed")
    given = settings.read(
        ["--url", "http://127.0.0.1:1", "--data", str(data), "--runners", kind], {}
    )
    exits: queue.SimpleQueue[SeatKey] = queue.SimpleQueue()
    made: list[Runner] = []

    def make() -> Runner:
        made.append(choose.runners(given, exits.put)[kind])
        return made[-1]

    first = make()
    image = IMAGE if kind == "docker" else None
    bench = Bench(first, make, SeatStore(data), exits, image)
    yield bench
    for key in bench.keys:
        bench.runner.release(key)
    for runner in made:
        runner.close()
    shutil.rmtree(data.parent, ignore_errors=True)
