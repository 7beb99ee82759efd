"""Which runners this node has: tried once, by really running something."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path

import docker

from agents import limits
from agents.docker import DockerRunner
from agents.engine import FAILURES
from agents.launch import BubblewrapLauncher, Launcher, PlainLauncher
from agents.namespaces import NamespacesLauncher
from agents.runner import OnExit, Runner, SeatSpec, StartFailed
from agents.sandbox import SandboxRunner
from agents.seats import SeatFolder, SeatStore
from agents.settings import Settings
from agents.wire import SeatKey

log = logging.getLogger(__name__)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROBE_S = 10.0
_ENGINE_S = 1.0
"""Between looks for a container engine, which cannot tell that it is back."""


def runners(settings: Settings, on_exit: OnExit) -> dict[str, Runner]:
    """The runners this node offers, by name; StartFailed if one that was asked for is missing."""
    wanted = settings.runners
    found: dict[str, Runner] = {}
    if wanted is None or "docker" in wanted:
        client = _engine()
        while client is None and _has_containers(settings):  # they are not lost for that
            log.warning("there are containers of before: waiting for their engine")
            time.sleep(_ENGINE_S)
            client = _engine()
        if client is not None:
            found["docker"] = DockerRunner(client, on_exit, pull=settings.pull)
        elif wanted is not None:
            raise StartFailed("--runners: no Docker engine answers")
    if wanted is None or "sandbox" in wanted:
        launcher = _sandbox(settings)
        if launcher is not None:
            found["sandbox"] = _runner(launcher, on_exit)
        elif wanted is not None:
            raise StartFailed("--runners: no sandbox here: no bubblewrap, no namespaces")
        else:
            log.warning(
                "NO SANDBOX: jobs run as this user, with its files and network, limited only in"
                " resources. Install bubblewrap, or allow user namespaces."
            )
    if (wanted is None and "sandbox" not in found) or (wanted is not None and "process" in wanted):
        found["process"] = _runner(PlainLauncher(), on_exit)
    return found


def _engine() -> docker.DockerClient | None:
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except FAILURES:
        return None
    return client


def _has_containers(settings: Settings) -> bool:
    """Whether an agent before this one started seats under an engine."""
    records = [record for _, record in SeatStore(settings.data).all()]
    return any(record is not None and record.runner == "docker" for record in records)


def _runner(launcher: Launcher, on_exit: OnExit) -> SandboxRunner:
    groups = limits.detect("compute-seats")
    return SandboxRunner(launcher, groups, on_exit, PATH)


def _sandbox(settings: Settings) -> Launcher | None:
    """The first launcher that isolates and under which a command really runs."""
    mask = (settings.data.parent, *settings.mask)
    for kind in (BubblewrapLauncher, NamespacesLauncher):
        try:
            launcher = kind(settings.data, mask, settings.expose, limit_processes=not _has_pids())
        except StartFailed as error:
            log.info("no sandbox by %s: %s", kind.__name__, error)
            continue
        if _works(settings, launcher):
            return launcher
    return None


def _has_pids() -> bool:
    return limits.detect("compute-seats").has("pids")


def _works(settings: Settings, launcher: Launcher) -> bool:
    ended = threading.Event()
    runner = SandboxRunner(launcher, limits.Groups({}), lambda _: ended.set(), PATH)
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=settings.data))
    key = SeatKey("probe", 0)
    try:
        runner.start(SeatSpec(key, settings.node, SeatFolder(folder), ("true",)))
        if not ended.wait(_PROBE_S):
            runner.kill(key)
            return False
        result = runner.result(key)
        if result.code != 0:
            log.info("the sandbox does not work here: %s", result.failed_start or result)
        return result.code == 0
    except StartFailed as error:
        log.info("the sandbox does not work here: %s", error)
        return False
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)
