"""Seats as Docker containers: a hardened create call from the typed spec, nothing passed on.

The engine may go away and come back: what it has not said is not told, and asked again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.types import DeviceRequest, LogConfig, Ulimit

from agents import engine, proc
from agents.engine import FAILURES, RETRY_S, explanation
from agents.layout import CHECKPOINT, NOBODY, WORK
from agents.logs import LogFile
from agents.runner import Found, NotYet, OnExit, Result, SeatSpec, StartFailed, Usage
from agents.wire import SeatKey

log = logging.getLogger(__name__)
_PERIOD_US = 100_000
_LABEL = "compute."
_TMP = "/tmp"  # noqa: S108 - the container's own
_DENIED = ("LD_", "NVIDIA_")
_ENDED_AWAY = "its container engine was away, and may have ended it"


@dataclass
class _Seat:
    spec: SeatSpec
    container: Any
    result: Result | None = None
    away: bool = False  # its engine did not answer when it was asked last


def create_options(spec: SeatSpec) -> dict[str, Any]:
    """The whole create call of a seat (docker SDK 7.2 `containers.create`); tested as it stands."""
    environment = {n: v for n, v in spec.environment.items() if not n.startswith(_DENIED)}
    environment |= {"HOME": WORK, "COMPUTE_CHECKPOINT_DIR": CHECKPOINT}
    options: dict[str, Any] = {
        "image": spec.image,
        "command": list(spec.command),
        "entrypoint": [],
        "name": _name(spec.key),
        "labels": {
            f"{_LABEL}allocation": spec.key.allocation,
            f"{_LABEL}rank": str(spec.key.rank),
            f"{_LABEL}node": spec.node,
        },
        "environment": environment,
        "user": f"{NOBODY}:{NOBODY}",
        "working_dir": WORK,
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "pids_limit": spec.pids,
        "tmpfs": {_TMP: f"rw,noexec,nosuid,nodev,size={spec.tmp_bytes},mode=1777"},
        "volumes": {
            str(spec.folder.work): {"bind": WORK, "mode": "rw"},
            str(spec.folder.checkpoint): {"bind": CHECKPOINT, "mode": "rw"},
        },
        "ulimits": [
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="nofile", soft=1024, hard=4096),
        ],
        "log_config": LogConfig(
            type="json-file", config={"max-size": str(2 * spec.log_bytes), "max-file": "1"}
        ),
    }
    if spec.memory_bytes:
        options |= {"mem_limit": spec.memory_bytes, "memswap_limit": spec.memory_bytes}
    if spec.cpu_milli:
        quota = max(1000, spec.cpu_milli * _PERIOD_US // 1000)
        options |= {"cpu_period": _PERIOD_US, "cpu_quota": quota}
    real = [gpu.visible for gpu in spec.gpus if not gpu.fake]
    if real:
        options["device_requests"] = [DeviceRequest(device_ids=real, capabilities=[["gpu"]])]
    return options


def _name(key: SeatKey) -> str:
    return f"compute-{key.allocation}-{key.rank}"


class DockerRunner:
    """Runs seats under a Docker engine; one thread a container copies its output.

    The engine keeps output as JSON: bytes that are not UTF-8 arrive as U+FFFD.
    """

    name = "docker"

    def __init__(self, client: docker.DockerClient, on_exit: OnExit, *, pull: bool) -> None:
        self._client = client
        # Each call on a connection of its own: an engine that was asked to stop takes no new
        # ones, and so does not pass for one that runs while it ends its containers.
        client.api.headers["Connection"] = "close"
        self._on_exit = on_exit
        self._pull = pull
        self._seats: dict[SeatKey, _Seat] = {}
        self._unremoved: list[Any] = []
        self._closed = threading.Event()

    def prepare(self, spec: SeatSpec) -> None:
        try:
            self._have_image(spec.image or "")
        except docker.errors.DockerException as error:
            raise StartFailed(f"docker: {explanation(error)}") from error
        except FAILURES as error:
            raise NotYet(f"the container engine does not answer: {error}") from error

    def start(self, spec: SeatSpec) -> None:
        for path in (spec.folder.work, spec.folder.checkpoint):
            path.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            else:
                path.chmod(0o777)  # the container's user is another one; the seat folder is 0700
        _open_way(spec.folder.path)
        spec.folder.log.touch(mode=0o600)
        while True:
            try:
                container = self._started(spec)
                break
            except docker.errors.DockerException as error:
                raise StartFailed(f"docker: {explanation(error)}") from error
            except FAILURES as error:
                log.warning("%s: its engine does not answer: %s", spec.key, error)
                if self._closed.wait(RETRY_S):
                    raise StartFailed("docker: the agent stopped before it started") from error
        self._follow(spec, container)

    def _started(self, spec: SeatSpec) -> Any:
        """The seat's container, started; also where the engine went before it said so."""
        try:
            container = self._client.containers.get(_name(spec.key))
        except docker.errors.NotFound:
            container = self._client.containers.create(**create_options(spec))
        if container.status == "created":
            try:
                container.start()
            except docker.errors.APIError:
                container.remove(force=True)
                raise
        return container

    def adopt(self, spec: SeatSpec) -> Found:
        try:
            container = self._client.containers.get(_name(spec.key))
        except docker.errors.NotFound:
            return Found.NEVER_STARTED
        if container.status == "created":
            container.remove(force=True)
            return Found.NEVER_STARTED
        if container.status == "running":
            self._follow(spec, container)
            return Found.RUNNING
        seat = _Seat(spec, container)
        self._seats[spec.key] = seat
        self._copy_output(seat, follow=False)
        seat.result = _result(container)
        return Found.ENDED

    def signal(self, key: SeatKey, number: int, *, only_if_caught: bool = False) -> bool:
        seat = self._seats[key]
        if only_if_caught:
            return self._catches(seat.container, number) and self._send(seat, number)
        sent = self._send(seat, number)
        if not sent:
            self._insist(seat, number)
        return sent

    def kill(self, key: SeatKey) -> None:
        seat = self._seats[key]
        if not self._send(seat, signal.SIGKILL):
            self._insist(seat, signal.SIGKILL)

    def result(self, key: SeatKey) -> Result:
        result = self._seats[key].result
        if result is None:
            raise LookupError(f"{key} has not ended")
        return result

    def usage(self, key: SeatKey) -> Usage | None:
        seat = self._seats.get(key)
        if seat is None or seat.result is not None:
            return None
        main = seat.container.attrs["State"]["Pid"]
        return Usage(*proc.usage([main, *proc.descendants(main)])) if main else None

    def release(self, key: SeatKey) -> None:
        seat = self._seats.pop(key, None)
        if seat is not None:
            self._unremoved.append(seat.container)
        self._unremoved = [each for each in self._unremoved if not _removed(each)]

    def close(self) -> None:
        self._closed.set()

    def _have_image(self, image: str) -> None:
        try:
            self._client.images.get(image)
        except docker.errors.ImageNotFound:
            if not self._pull:
                raise StartFailed(
                    f"docker_image: there is no image {image!r} on this node,"
                    " and its agent does not pull"
                ) from None
            self._client.images.pull(image)

    def _send(self, seat: _Seat, number: int) -> bool:
        """Signal the container, without its engine where that can be; False if it was not sent."""
        if engine.signal_here(seat.container, number):
            return True
        try:
            seat.container.kill(signal=number)
        except FAILURES as error:
            log.debug("%s was not signalled: %s", seat.spec.key, explanation(error))
            return False
        return True

    def _insist(self, seat: _Seat, number: int) -> None:
        """Signal the container as soon as its engine answers, unless it ends before."""
        log.warning("%s is sent signal %d once its engine answers", seat.spec.key, number)

        def until_sent() -> None:
            while seat.result is None and not self._send(seat, number):
                if self._closed.wait(RETRY_S):
                    return

        threading.Thread(target=until_sent, name=f"signal-{seat.spec.key}", daemon=True).start()

    def _follow(self, spec: SeatSpec, container: Any) -> None:
        seat = self._seats[spec.key] = _Seat(spec, container)
        threading.Thread(
            target=self._watch, args=(seat,), name=f"docker-{spec.key}", daemon=True
        ).start()

    def _watch(self, seat: _Seat) -> None:
        """Copy the output, wait for the end, and say so; an engine that is away is waited for."""
        while seat.result is None:
            try:
                seat.result = self._end(seat)
            except FAILURES as error:
                if self._closed.is_set():
                    return
                if not engine.passes(error):
                    log.warning("%s: the engine lost it: %s", seat.spec.key, error)
                    seat.result = Result()
                    break
                if not seat.away:
                    log.warning("%s: its engine does not answer: %s", seat.spec.key, error)
                seat.away = True
                self._closed.wait(RETRY_S)
        self._on_exit(seat.spec.key)

    def _end(self, seat: _Seat) -> Result:
        """How the container ended, once it has and its output is copied."""
        container = seat.container
        container.reload()
        if container.attrs["State"]["Running"]:
            if seat.away:
                log.info("%s: its engine is back, and it runs", seat.spec.key)
            seat.away = False
            self._copy_output(seat, follow=True)
            container.wait()
        self._copy_output(seat, follow=False)  # a last line without its end comes late
        result = _result(container)
        if seat.away and not engine.keeps_ends(self._client, result.code or 0):
            return Result(None, result.out_of_memory, lost=_ENDED_AWAY)
        return result

    def _copy_output(self, seat: _Seat, *, follow: bool) -> None:
        """Append to the seat's log what the container printed beyond what is there already."""
        file = LogFile(seat.spec.folder.log, seat.spec.log_bytes)
        skip = file.final_size()
        for piece in seat.container.logs(stream=True, follow=follow, stdout=True, stderr=True):
            fresh = piece[skip:]
            skip = max(0, skip - len(piece))
            if fresh:
                file.append(fresh)
        if not follow:
            file.finish()

    def _catches(self, container: Any, number: int) -> bool:
        """Whether the job's main process, the child of the container's init, catches it."""
        init = container.attrs["State"]["Pid"]
        below = proc.children(init) if init else []
        return bool(below) and proc.catches(below[0], number)


def _open_way(path: Path) -> None:
    """Let the container's user pass the seat's own folder to the two that are bound."""
    path.chmod(0o711)


def _result(container: Any) -> Result:
    """How a container ended. A killed child alone (exit code 0) is no out-of-memory end."""
    container.reload()
    state = container.attrs["State"]
    code = int(state["ExitCode"])
    return Result(code, bool(state["OOMKilled"]) and code != 0)


def _removed(container: Any) -> bool:
    """Whether the container is gone, or there is no use in trying again."""
    try:
        container.remove(force=True)
    except FAILURES as error:
        log.info("container %s was not removed: %s", container.name, explanation(error))
        return not engine.passes(error)
    return True
