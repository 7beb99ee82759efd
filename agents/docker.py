"""Seats as Docker containers: a hardened create call from the typed spec, nothing passed on."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.types import DeviceRequest, LogConfig, Ulimit

from agents import proc
from agents.layout import CHECKPOINT, NOBODY, WORK
from agents.logs import LogFile
from agents.runner import Found, OnExit, Result, SeatSpec, StartFailed, Usage
from agents.wire import SeatKey

log = logging.getLogger(__name__)
_PERIOD_US = 100_000
_LABEL = "compute."
_TMP = "/tmp"  # noqa: S108 - the container's own
_DENIED = ("LD_", "NVIDIA_")


@dataclass
class _Seat:
    spec: SeatSpec
    container: Any
    result: Result | None = None


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
        self._on_exit = on_exit
        self._pull = pull
        self._seats: dict[SeatKey, _Seat] = {}
        self._closed = False

    def prepare(self, spec: SeatSpec) -> None:
        try:
            self._have_image(spec.image or "")
        except docker.errors.DockerException as error:
            raise StartFailed(f"docker: {_explanation(error)}") from error

    def start(self, spec: SeatSpec) -> None:
        for path in (spec.folder.work, spec.folder.checkpoint):
            path.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            else:
                path.chmod(0o777)  # the container's user is another one; the seat folder is 0700
        _open_way(spec.folder.path)
        spec.folder.log.touch(mode=0o600)
        try:
            container = self._client.containers.create(**create_options(spec))
            try:
                container.start()
            except docker.errors.APIError:
                container.remove(force=True)
                raise
        except docker.errors.DockerException as error:
            raise StartFailed(f"docker: {_explanation(error)}") from error
        self._follow(spec, container)

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
        container = self._seats[key].container
        try:
            if only_if_caught and not self._catches(container, number):
                return False
            container.kill(signal=number)
        except docker.errors.DockerException as error:
            log.info("%s was not signalled: %s", key, _explanation(error))
            return False
        return True

    def kill(self, key: SeatKey) -> None:
        try:
            self._seats[key].container.kill()
        except docker.errors.DockerException as error:
            log.info("%s was not killed: %s", key, _explanation(error))

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
            try:
                seat.container.remove(force=True)
            except docker.errors.DockerException as error:
                log.info("the container of %s was not removed: %s", key, _explanation(error))

    def close(self) -> None:
        self._closed = True

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

    def _follow(self, spec: SeatSpec, container: Any) -> None:
        container.reload()
        seat = self._seats[spec.key] = _Seat(spec, container)
        threading.Thread(
            target=self._watch, args=(seat,), name=f"docker-{spec.key}", daemon=True
        ).start()

    def _watch(self, seat: _Seat) -> None:
        """Copy the output, wait for the end, and say so."""
        try:
            self._copy_output(seat, follow=True)
            seat.container.wait()
            self._copy_output(seat, follow=False)  # a last line without its end comes late
            seat.result = _result(seat.container)
        except (docker.errors.DockerException, OSError) as error:
            if self._closed:
                return
            log.warning("%s: the engine lost it: %s", seat.spec.key, error)
            seat.result = Result()
        self._on_exit(seat.spec.key)

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


def _explanation(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)
