"""A real Docker engine: an image made of this machine's busybox, and engines a test may kill."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path

import docker
import psutil

IMAGE = "compute-test-busybox:1"
PROGRAMS = ("sh", "cat", "sleep", "id", "env", "touch", "ls", "mkdir", "mount", "true")
PATIENCE_S = 60


def no_busybox() -> str:
    """Why the image cannot be made; empty if it can."""
    return "" if shutil.which("busybox") else "busybox-static is not installed"


def load_busybox(client: docker.DockerClient) -> None:
    """Give the engine the image IMAGE."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("bin", "dev", "proc", "sys", "tmp", "job", "checkpoint"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(str(shutil.which("busybox")), "bin/busybox")
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    name, _, tag = IMAGE.partition(":")
    client.api.import_image_from_data(archive.getvalue(), repository=name, tag=tag)


class Engine:
    """A dockerd with files, containerd and socket of its own, without networks."""

    def __init__(self, folder: Path, *, live_restore: bool) -> None:
        self.folder = folder
        self.host = f"unix://{folder / 'socket'}"
        self._words = ["dockerd", "--data-root", str(folder / "data"), "-H", self.host]
        self._words += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
        self._words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        self._words += ["--ip-forward=false", *(["--live-restore"] if live_restore else [])]
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and see it answer."""
        with (self.folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(self._words, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            told = (self.folder / "log").read_text()[-3000:]
            assert self._daemon.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)  # it tells nobody when it listens

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(self.host, timeout=PATIENCE_S)

    def kill(self) -> None:
        """kill -9; the kernel ends its containerd with it, containers go on."""
        assert self._daemon is not None
        below = psutil.Process(self._daemon.pid).children(recursive=True)
        self._daemon.kill()
        self._daemon.wait()
        self._daemon = None
        _, left = psutil.wait_procs(below, timeout=PATIENCE_S)
        assert not left, left

    def stop(self) -> None:
        """SIGTERM: without live restore it stops its containers first."""
        assert self._daemon is not None
        self._daemon.terminate()
        self._daemon.wait(PATIENCE_S)
        self._daemon = None

    def close(self) -> None:
        """End it and all it started, by process id; unmount what it mounted."""
        if self._daemon is not None:
            self.kill()
        shims = [  # each keeps a container of this engine, and outlives the engine
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.folder / "exec") in word for word in process.info["cmdline"] or ())
        ]
        _end([process for shim in shims for process in (shim, *shim.children(recursive=True))])
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            where = line.split()[1]
            if where.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", where], check=True)

    def _answers(self) -> bool:
        """Asked without the SDK, which leaves the sockets of clients that it could not make."""
        with closing(socket.socket(socket.AF_UNIX)) as line:
            try:
                line.connect(str(self.folder / "socket"))
                line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 OK" in line.recv(100)
            except OSError:
                return False


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE_S)


@contextmanager
def engine(folder: Path, *, live_restore: bool) -> Iterator[Engine]:
    """A running engine that has the image."""
    made = Engine(folder, live_restore=live_restore)
    try:
        made.start()
        client = made.client()
        load_busybox(client)
        client.close()
        yield made
    finally:
        made.close()
