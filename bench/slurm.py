"""Slurm as a measured peer: Debian's packages, one controller and eight slurmd on this host."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.contest import CLIENTS, SLOTS, Contestant
from bench.http_load import spread

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol")
NODES = 8
READY_SECONDS = 60.0
LOOK_SECONDS = 0.05
LARGEST_ARRAY = 1000
CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
MaxJobCount=100000
SchedulerParameters=batch_sched_delay=0
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """The running cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def submit(self, count: int) -> float:
        return self._each(count, [*_true("held"), "--hold"])

    def starts(self, count: int) -> list[float]:
        found = []
        for number in range(count):
            output = self._folder / f"date-{number}"
            began = time.time_ns()
            self.run(["sbatch", f"--output={output}", "--wrap=exec date +%s%N"])
            found.append((int(written(output)) - began) / 1e6)
        return found

    def batch(self, count: int) -> float:
        began = time.perf_counter()
        for first in range(0, count, LARGEST_ARRAY):
            last = min(LARGEST_ARRAY, count - first) - 1
            self.run([*_true("batch"), f"--array=0-{last}"])
        return self._until_done(began, "batch", count)

    def singles(self, count: int) -> float:
        began = time.perf_counter()
        self._each(count, _true("single"))
        return self._until_done(began, "single", count)

    def run(self, command: Sequence[str]) -> str:
        """What one of Slurm's commands prints; RuntimeError if it fails."""
        done = subprocess.run(
            command, env=self._env, cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout

    def _each(self, count: int, command: Sequence[str]) -> float:
        def work(_client: int, numbers: range) -> None:
            for _ in numbers:
                self.run(command)

        began = time.perf_counter()
        spread(count, CLIENTS, work)
        return time.perf_counter() - began

    def _until_done(self, began: float, name: str, count: int) -> float:
        """Seconds since `began` when nothing is left in the queue and all of the name succeeded."""
        while self.run(["squeue", "-h", "-o", "%i"]):
            time.sleep(LOOK_SECONDS)
        took = time.perf_counter() - began
        jobs = self.run(["scontrol", "-o", "show", "jobs"]).splitlines()
        done = sum(f"JobName={name} " in job and "JobState=COMPLETED" in job for job in jobs)
        if done != count:
            raise RuntimeError(f"{done} of {count} jobs succeeded")
        return took


def _true(name: str) -> list[str]:
    return ["sbatch", f"--job-name={name}", "--output=/dev/null", "--wrap=exec true"]


def written(path: Path) -> str:
    """The line in a file, once it is there."""
    while True:
        try:
            text = path.read_text()
        except FileNotFoundError:
            text = ""
        if text.endswith("\n"):
            return text
        time.sleep(0.002)


def configure(folder: Path) -> None:
    """Write munge's key and slurm.conf; Debian's defaults where nothing forces another value."""
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    host, ports = socket.gethostname().split(".")[0], _free_ports(NODES + 1)
    nodes = "\n".join(
        f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[number]}"
        f" CPUs={SLOTS // NODES} State=UNKNOWN"
        for number in range(1, NODES + 1)
    )
    text = CONFIGURATION.format(
        host=host, user=getpass.getuser(), folder=folder, port=ports[0], nodes=nodes
    )
    (folder / "slurm.conf").write_text(text)


@contextmanager
def _running(folder: Path) -> Iterator[Slurm]:
    configure(folder)
    slurm = Slurm(folder)
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
    munge += [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid"]
    munge += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    commands = [munge, ["slurmctld", "-D"]]
    commands += [["slurmd", "-D", "-N", f"n{number}"] for number in range(1, NODES + 1)]
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(_daemon(command, folder))
            if command is munge:
                _wait(lambda: (folder / "munge.socket").exists(), folder)
        _wait(lambda: _idle(slurm), folder)
        yield slurm


@contextmanager
def _daemon(command: Sequence[str], folder: Path) -> Iterator[None]:
    env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    assert program is not None, "it was looked for before"
    with (folder / "daemons.log").open("ab") as log:
        process = subprocess.Popen([program, *command[1:]], env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _idle(slurm: Slurm) -> bool:
    try:
        states = slurm.run(["sinfo", "-h", "-N", "-o", "%T"]).split()
    except RuntimeError:
        return False
    return states == ["idle"] * NODES


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError((folder / "daemons.log").read_text(errors="replace")[-1000:])
        time.sleep(LOOK_SECONDS)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _missing() -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"not installed (Debian: slurm-wlm munge): {', '.join(absent)}" if absent else ""


SLURM = Contestant("slurm", _missing, _running)
